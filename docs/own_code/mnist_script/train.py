"""The script as a function: `tune-app run space.yaml` in this folder tunes it."""

import digits
import torch


def tune(config, report):
    training, validation, test = digits.load()
    model = digits.Net(config["filters"], config["dropout"])
    optimizer = torch.optim.SGD(model.parameters(), lr=config["lr"], momentum=config["momentum"])
    start = report.restore(model=model, optimizer=optimizer)
    first = [part[:64] for part in training]
    for _ in range(start, report.epochs):
        digits.train_epoch(model, optimizer, *training, config["batch_size"])
        report({"val_accuracy": digits.accuracy(model, *validation)}, probe=lambda: digits.loss(model, *first))
    return {"test_accuracy": digits.accuracy(model, *test)} if report.final else None
