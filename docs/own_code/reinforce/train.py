"""REINFORCE as a function: `tune-app run space.yaml` in this folder tunes it."""

import corridor
import torch


def tune(config, report):
    model = corridor.policy(config["width"])
    optimizer = torch.optim.Adam(model.parameters(), lr=config["lr"])
    for _ in range(report.restore(model=model, optimizer=optimizer), report.epochs):
        corridor.train_epoch(model, optimizer, config["discount"], config["episodes"])
        report({"score": corridor.score(model)})
    return {"final_score": corridor.score(model, 200)} if report.final else None
