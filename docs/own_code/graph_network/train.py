"""The graph network as a function: `tune-app run space.yaml` in this folder tunes it."""

import graph
import torch


def tune(config, report):
    whole = graph.load()
    training, validation, test = whole[3]
    model = graph.GraphNet(config["width"], config["dropout"])
    optimizer = torch.optim.Adam(model.parameters(), lr=config["lr"], weight_decay=config["weight_decay"])
    start = report.restore(model=model, optimizer=optimizer)
    for _ in range(start, report.epochs):
        graph.train_epoch(model, optimizer, whole, training)
        accuracy = graph.accuracy(model, whole, validation)
        report({"val_accuracy": accuracy}, probe=lambda: graph.loss(model, whole, training))
    return {"test_accuracy": graph.accuracy(model, whole, test)} if report.final else None
