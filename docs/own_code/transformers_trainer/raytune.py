"""The same with Ray Tune: `python raytune.py`."""

import os
import tempfile

import sentences
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch
from transformers import Trainer, TrainerCallback, TrainingArguments


class Reporting(TrainerCallback):
    def on_evaluate(self, args, state, control, metrics, **held):
        self.metrics = metrics

    def on_save(self, args, state, control, **held):
        folder = os.path.join(args.output_dir, f"checkpoint-{state.global_step}")
        tune.report({"val_loss": self.metrics["eval_loss"]}, checkpoint=tune.Checkpoint.from_directory(folder))


def train(config):
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(),
        use_cpu=True,
        num_train_epochs=5,
        eval_strategy="epoch",
        save_strategy="epoch",
        report_to="none",
        disable_tqdm=True,
        learning_rate=config["lr"],
    )
    training, validation, _ = sentences.load()
    model = sentences.model(config["layers"], config["width"], config["dropout"])
    trainer = Trainer(model, arguments, train_dataset=training, eval_dataset=validation, callbacks=[Reporting()])
    if checkpoint := tune.get_checkpoint():
        with checkpoint.as_directory() as folder:
            trainer.train(resume_from_checkpoint=folder)
    else:
        trainer.train()


if __name__ == "__main__":
    space = {
        "layers": tune.randint(1, 3),
        "width": tune.choice([16, 32]),
        "lr": tune.loguniform(1e-4, 0.1),
        "dropout": tune.uniform(0.0, 0.3),
    }
    settings = tune.TuneConfig(
        metric="val_loss",
        mode="min",
        num_samples=12,
        search_alg=OptunaSearch(),
        scheduler=ASHAScheduler(max_t=5),
    )
    restarts = tune.RunConfig(failure_config=tune.FailureConfig(max_failures=3))
    best = tune.Tuner(train, param_space=space, tune_config=settings, run_config=restarts).fit().get_best_result()
    with best.checkpoint.as_directory() as folder:
        model = sentences.GPT2LMHeadModel.from_pretrained(folder)
    arguments = TrainingArguments(output_dir=tempfile.mkdtemp(), use_cpu=True, report_to="none")
    print(best.config, best.metrics["val_loss"], Trainer(model, arguments).evaluate(sentences.load()[2])["eval_loss"])
