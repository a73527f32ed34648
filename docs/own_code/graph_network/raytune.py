"""The same with Ray Tune, as in its documentation: `python raytune.py`."""

import os
import tempfile

import graph
import torch
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch


def train(config):
    whole = graph.load()
    training, validation, _ = whole[3]
    model = graph.GraphNet(config["width"], config["dropout"])
    optimizer = torch.optim.Adam(model.parameters(), lr=config["lr"], weight_decay=config["weight_decay"])
    start = 0
    if checkpoint := tune.get_checkpoint():
        with checkpoint.as_directory() as folder:
            saved = torch.load(os.path.join(folder, "state.pt"))
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        start = saved["epoch"]
    for epoch in range(start + 1, 6):
        graph.train_epoch(model, optimizer, whole, training)
        with tempfile.TemporaryDirectory() as folder:
            saved = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
            torch.save(saved, os.path.join(folder, "state.pt"))
            accuracy = graph.accuracy(model, whole, validation)
            tune.report({"val_accuracy": accuracy}, checkpoint=tune.Checkpoint.from_directory(folder))


if __name__ == "__main__":
    space = {
        "width": tune.lograndint(4, 65),
        "dropout": tune.uniform(0.0, 0.7),
        "lr": tune.loguniform(1e-3, 0.1),
        "weight_decay": tune.loguniform(1e-5, 0.1),
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
    model = graph.GraphNet(best.config["width"], best.config["dropout"])
    model.load_state_dict(saved["model"])
    whole = graph.load()
    print(best.config, best.metrics["val_accuracy"], graph.accuracy(model, whole, whole[3][2]))
