"""The same with Ray Tune, as in its documentation: `python raytune.py`."""

import os
import tempfile

import corridor
import torch
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch


def train(config):
    model = corridor.policy(config["width"])
    optimizer = torch.optim.Adam(model.parameters(), lr=config["lr"])
    start = 0
    if checkpoint := tune.get_checkpoint():
        with checkpoint.as_directory() as folder:
            saved = torch.load(os.path.join(folder, "state.pt"))
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        start = saved["epoch"]
    for epoch in range(start + 1, 6):
        corridor.train_epoch(model, optimizer, config["discount"], config["episodes"])
        with tempfile.TemporaryDirectory() as folder:
            saved = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
            torch.save(saved, os.path.join(folder, "state.pt"))
            score = corridor.score(model)
            tune.report({"score": score}, checkpoint=tune.Checkpoint.from_directory(folder))


if __name__ == "__main__":
    space = {
        "width": tune.lograndint(4, 65),
        "lr": tune.loguniform(1e-3, 0.3),
        "discount": tune.uniform(0.8, 1.0),
        "episodes": tune.choice([10, 20, 40]),
    }
    settings = tune.TuneConfig(
        metric="score",
        mode="max",
        num_samples=12,
        search_alg=OptunaSearch(),
        scheduler=ASHAScheduler(max_t=5),
    )
    restarts = tune.RunConfig(failure_config=tune.FailureConfig(max_failures=3))
    best = tune.Tuner(train, param_space=space, tune_config=settings, run_config=restarts).fit().get_best_result()
    with best.checkpoint.as_directory() as folder:
        saved = torch.load(os.path.join(folder, "state.pt"))
    model = corridor.policy(best.config["width"])
    model.load_state_dict(saved["model"])
    print(best.config, best.metrics["score"], corridor.score(model, 200))
