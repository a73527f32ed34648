"""A training loop to fill in: replace `load` and `build` with your own. `tune-app check space.yaml` tries it in
seconds."""

import torch
from torch import nn
from torch.nn import functional


def load():
    """Training, validation and test rows, each (points, classes): two spirals. Replace them with your data."""
    generator = torch.Generator().manual_seed(0)  # the same rows in every trial, so that trials are comparable
    classes = torch.arange(600) % 2
    radius = torch.rand(600, generator=generator)
    angle = 6 * radius + torch.pi * classes
    points = radius[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)
    points += 0.02 * torch.randn(points.shape, generator=generator)
    return [(points[rows], classes[rows]) for rows in torch.arange(600).split([400, 100, 100])]


def build(config):
    """The network that a configuration describes."""
    activation = {"relu": nn.ReLU, "tanh": nn.Tanh}[config["activation"]]
    layers, size = [], 2
    for _ in range(config["layers"]):
        layers += [nn.Linear(size, config["width"]), activation()]
        size = config["width"]
    return nn.Sequential(*layers, nn.Linear(size, 2))


def measure(model, points, classes):
    """Accuracy and loss of `model` on some rows."""
    model.eval()
    with torch.no_grad():
        scores = model(points)
    return (scores.argmax(1) == classes).float().mean().item(), functional.cross_entropy(scores, classes).item()


def tune(config, report):
    """Train one configuration and report each epoch; tune-app calls this once per trial."""
    training, validation, test = ([part.to(report.device) for part in rows] for rows in load())
    model = build(config).to(report.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=config["lr"])
    start = report.restore(model=model, optimizer=optimizer)  # 0, or the epoch from which a lost trial resumes
    points, classes = training
    for _ in range(start, report.epochs):
        model.train()
        for rows in torch.randperm(len(points)).split(config["batch_size"]):
            optimizer.zero_grad()
            functional.cross_entropy(model(points[rows]), classes[rows]).backward()
            optimizer.step()
        accuracy, loss = measure(model, *validation)
        report(
            {"val_accuracy": accuracy, "val_loss": loss},
            probe=lambda: functional.cross_entropy(model(points[:64]), classes[:64]),  # for the health scores
        )
    if report.final:  # only `tune-app train` uses the test rows
        return {"test_accuracy": measure(model, *test)[0]}
