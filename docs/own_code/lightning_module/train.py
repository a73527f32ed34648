"""The module as a function: `tune-app run space.yaml` in this folder tunes it."""

from lightning import Trainer
from module import Digits, loaders

from tune_app.lightning import TuneCallback


def tune(config, report):
    callback = TuneCallback(report, metrics=["val_accuracy"])
    trainer = Trainer(**callback.trainer_arguments)
    training, validation, test = loaders(config["batch_size"])
    module = Digits(config["width"], config["dropout"], config["lr"])
    trainer.fit(module, training, validation, ckpt_path=callback.resume_path, weights_only=True)
    return trainer.test(module, test, verbose=False)[0] if report.final else None
