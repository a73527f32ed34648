"""The same with Optuna, by the trainer's own search: `python optuna_study.py`."""

import tempfile

import optuna
import sentences
from transformers import Trainer, TrainingArguments


def space(trial):
    return {"learning_rate": trial.suggest_float("learning_rate", 1e-4, 0.1, log=True)}


def model(trial):
    if trial is None:  # the trainer asks for a model before there is a trial
        return sentences.model(1, 16, 0.0)
    layers, width = trial.suggest_int("layers", 1, 2), trial.suggest_categorical("width", [16, 32])
    return sentences.model(layers, width, trial.suggest_float("dropout", 0.0, 0.3))


if __name__ == "__main__":
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(),
        use_cpu=True,
        num_train_epochs=5,
        eval_strategy="epoch",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    training, validation, _ = sentences.load()
    trainer = Trainer(None, arguments, train_dataset=training, eval_dataset=validation, model_init=model)
    best = trainer.hyperparameter_search(
        hp_space=space,
        compute_objective=lambda metrics: metrics["eval_loss"],
        n_trials=12,
        direction="minimize",
        backend="optuna",
        pruner=optuna.pruners.SuccessiveHalvingPruner(),
    )
    print(best.hyperparameters, best.objective)
