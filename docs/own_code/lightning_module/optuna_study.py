"""The same with Optuna: `python optuna_study.py`."""

import optuna
from lightning import Callback, Trainer
from module import Digits, loaders


class Pruning(Callback):
    def __init__(self, trial):
        self.trial = trial

    def on_validation_end(self, trainer, pl_module):
        if trainer.sanity_checking:
            return
        self.trial.report(trainer.callback_metrics["val_accuracy"].item(), trainer.current_epoch)
        if self.trial.should_prune():
            raise optuna.TrialPruned()


def objective(trial):
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=5,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Pruning(trial)],
    )
    width, dropout = trial.suggest_int("width", 8, 128, log=True), trial.suggest_float("dropout", 0.0, 0.5)
    module = Digits(width, dropout, trial.suggest_float("lr", 1e-4, 0.1, log=True))
    training, validation, _ = loaders(trial.suggest_categorical("batch_size", [16, 32, 64]))
    trainer.fit(module, training, validation)
    return trainer.callback_metrics["val_accuracy"].item()


if __name__ == "__main__":
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.SuccessiveHalvingPruner())
    study.optimize(objective, n_trials=12)
    print(study.best_params, study.best_value)
