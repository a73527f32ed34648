"""The same with Ray Tune, as in its documentation: `python raytune.py`. Like the function, it saves nothing."""

import rows
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch
from sklearn.linear_model import SGDClassifier


def train(config):
    training, validation, test = rows.load()
    model = SGDClassifier(loss=config["loss"], penalty=config["penalty"], alpha=config["alpha"])
    for _ in range(5):
        rows.train_epoch(model, *training, config["batch_size"])
        tune.report({"val_accuracy": model.score(*validation), "test_accuracy": model.score(*test)})


if __name__ == "__main__":
    space = {
        "loss": tune.choice(["hinge", "log_loss", "modified_huber"]),
        "penalty": tune.choice(["l2", "l1", "elasticnet"]),
        "alpha": tune.loguniform(1e-6, 0.1),
        "batch_size": tune.choice([16, 64, 256]),
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
    print(best.config, best.metrics["val_accuracy"], best.metrics["test_accuracy"])
