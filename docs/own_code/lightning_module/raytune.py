"""The same with Ray Tune and its own callback for Lightning: `python raytune.py`."""

import os

from lightning import Trainer
from module import Digits, loaders
from ray import tune
from ray.tune.integration.pytorch_lightning import TuneReportCheckpointCallback
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch


def train(config):
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=5,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[TuneReportCheckpointCallback(["val_accuracy"], on="validation_end")],
    )
    training, validation, _ = loaders(config["batch_size"])
    module = Digits(config["width"], config["dropout"], config["lr"])
    if checkpoint := tune.get_checkpoint():
        with checkpoint.as_directory() as folder:
            trainer.fit(module, training, validation, ckpt_path=os.path.join(folder, "checkpoint"))
    else:
        trainer.fit(module, training, validation)


if __name__ == "__main__":
    space = {
        "width": tune.lograndint(8, 129),
        "dropout": tune.uniform(0.0, 0.5),
        "lr": tune.loguniform(1e-4, 0.1),
        "batch_size": tune.choice([16, 32, 64]),
    }
    settings = tune.TuneConfig(
        metric="val_accuracy",
        mode="max",
        num_samples=12,
        search_alg=OptunaSearch(),
        scheduler=ASHAScheduler(max_t=5),
    )
    restarts = tune.RunConfig(failure_config=tune.FailureConfig(max_failures=3))
    best = tune.Tuner(train, param_space=space, tune_config=settings, run_config=restarts).fit().get_best_result()
    module = Digits(best.config["width"], best.config["dropout"], best.config["lr"])
    with best.checkpoint.as_directory() as folder:
        path = os.path.join(folder, "checkpoint")
        tested = Trainer(accelerator="cpu", logger=False).test(module, loaders(64)[2], ckpt_path=path)
    print(best.config, best.metrics["val_accuracy"], tested)
