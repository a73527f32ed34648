"""A user's task for tests on several hosts: it trains nothing, takes a set time, and its data shows up in traffic."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch

from tune_app.datasets.dataset import Dataset
from tune_app.spaces.variable import Float, Variable

DATA_BYTES = 32 * 2**20


class State:
    """A layer that is never trained, and the sum of the data that was read."""

    def __init__(self, config: dict[str, Any], data: Dataset) -> None:
        self.config = config
        self.model = torch.nn.Linear(1, 1)
        self.seen = int(data.train["x"].sum())

    def state_dict(self) -> dict[str, Any]:
        return {"model": self.model.state_dict()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.model.load_state_dict(saved["model"])


class Steady:
    """The score is `level` plus a little for every epoch."""

    data_kind: ClassVar[str] = "none"
    variables: ClassVar[tuple[Variable, ...]] = (
        Variable("level", "training", Float(0.0, 1.0), 0.5, "The score starts here."),
        Variable("pace", "training", Float(0.0, 10.0), 0.5, "Seconds an epoch takes."),
    )
    constraints: ClassVar[tuple[str, ...]] = ()
    metrics: ClassVar[Mapping[str, str]] = {"score": "maximize", "seen": "maximize"}

    def load_data(self, dataset: str) -> Dataset:
        return Dataset("none", "none", {"x": np.ones(DATA_BYTES, np.uint8)}, {})

    def start(self, config: dict[str, Any], data: Dataset, *, epochs: int, seed: int, device: torch.device) -> State:
        return State(config, data)

    def train_epoch(self, state: State, epoch: int, progress: Any) -> Mapping[str, float]:
        time.sleep(state.config["pace"])
        return {"score": state.config["level"] + 0.01 * epoch, "seen": state.seen}

    def evaluate(self, state: State, arrays: Mapping[str, Any]) -> Mapping[str, float]:
        return {"score": 0.0}
