"""`partial_fit` as a function: `tune-app run space.yaml` in this folder tunes it."""

import rows
from sklearn.linear_model import SGDClassifier


def tune(config, report):
    training, validation, test = rows.load()
    model = SGDClassifier(
        loss=config["loss"], penalty=config["penalty"], alpha=config["alpha"], random_state=report.seed
    )
    for _ in range(report.epochs):
        rows.train_epoch(model, *training, config["batch_size"])
        report({"val_accuracy": model.score(*validation)})
    return {"test_accuracy": model.score(*test)} if report.final else None
