"""The same with Ray Tune, as in its documentation: `python raytune.py`."""

import os
import tempfile

import digits
import torch
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch


def train(config):
    training, validation, _ = digits.load()
    model = digits.Net(config["filters"], config["dropout"])
    optimizer = torch.optim.SGD(model.parameters(), lr=config["lr"], momentum=config["momentum"])
    start = 0
    if checkpoint := tune.get_checkpoint():
        with checkpoint.as_directory() as folder:
            saved = torch.load(os.path.join(folder, "state.pt"))
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        start = saved["epoch"]
    for epoch in range(start + 1, 6):
        digits.train_epoch(model, optimizer, *training, config["batch_size"])
        with tempfile.TemporaryDirectory() as folder:
            saved = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
            torch.save(saved, os.path.join(folder, "state.pt"))
            accuracy = digits.accuracy(model, *validation)
            tune.report({"val_accuracy": accuracy}, checkpoint=tune.Checkpoint.from_directory(folder))


if __name__ == "__main__":
    space = {
        "filters": tune.lograndint(4, 33),
        "dropout": tune.uniform(0.0, 0.5),
        "lr": tune.loguniform(1e-3, 0.5),
        "momentum": tune.uniform(0.0, 0.99),
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
    with best.checkpoint.as_directory() as folder:
        saved = torch.load(os.path.join(folder, "state.pt"))
    model = digits.Net(best.config["filters"], best.config["dropout"])
    model.load_state_dict(saved["model"])
    print(best.config, best.metrics["val_accuracy"], digits.accuracy(model, *digits.load()[2]))
