"""A task for tests that trains on several devices and lets one of its processes die, raise, or diverge."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from tune_app.datasets.dataset import Dataset
from tune_app.spaces.variable import Categorical, Float, Int, Variable
from tune_app.tasks import replica

FAULTS = ("none", "killed", "killed_once", "raises", "diverges")


class State:
    """One weight that learns the mean of the data."""

    def __init__(self, config: dict[str, Any], data: Dataset) -> None:
        self.config = config
        self.values = torch.as_tensor(data.train["x"]).float()
        self.model = torch.nn.Linear(1, 1, bias=False)
        self.network = replica.wrap(self.model)

    def state_dict(self) -> dict[str, Any]:
        return {"model": self.model.state_dict()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.model.load_state_dict(saved["model"])


class Parallel:
    """Gradient descent on all rows at once; every rank leaves its process ID where the test looks."""

    data_kind: ClassVar[str] = "none"
    data_parallel: ClassVar[bool] = True
    variables: ClassVar[tuple[Variable, ...]] = (
        Variable("rate", "training", Float(0.0, 1.0), 0.1, "Learning rate."),
        Variable("pace", "training", Float(0.0, 60.0), 0.0, "Seconds an epoch takes."),
        Variable("fault", "training", Categorical(FAULTS), "none", "What goes wrong at epoch 3 on the second rank."),
        Variable("number", "training", Int(0, 100), 0, "Not used; it tells configurations apart."),
    )
    constraints: ClassVar[tuple[str, ...]] = ()
    metrics: ClassVar[Mapping[str, str]] = {"score": "maximize", "pid": "maximize"}

    def load_data(self, dataset: str) -> Dataset:
        return Dataset("none", "none", {"x": np.arange(5.0)}, {})

    def start(self, config: dict[str, Any], data: Dataset, *, epochs: int, seed: int, device: torch.device) -> State:
        Path(os.environ["FAULTY_MARKERS"], f"rank-{os.getpid()}").touch()
        return State(config, data)

    def train_epoch(self, state: State, epoch: int, progress: Any) -> Mapping[str, float]:
        time.sleep(state.config["pace"])
        if epoch == 3 and not replica.leads():
            fail(state.config["fault"])
        mine = replica.part_of(state.values)
        state.model.weight.grad = None
        loss = (state.network(torch.ones(len(mine), 1))[:, 0] - mine).square().mean()
        replica.weigh(loss, len(mine), len(state.values)).backward()
        with torch.no_grad():
            state.model.weight -= state.config["rate"] * state.model.weight.grad
        if not replica.leads():
            return {}
        diverged = epoch == 3 and state.config["fault"] == "diverges"
        return {"score": float("nan") if diverged else state.model.weight.item(), "pid": os.getpid()}

    def evaluate(self, state: State, arrays: Mapping[str, Any]) -> Mapping[str, float]:
        return {"score": 0.0}


def fail(fault: str) -> None:
    """Do what `fault` says."""
    if fault == "raises":
        raise ValueError("the second rank raised")
    marker = Path(os.environ["FAULTY_MARKERS"], "second-rank-died")
    if fault == "killed" or (fault == "killed_once" and not marker.exists()):
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
