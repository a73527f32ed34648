"""A user's task, for tests: quick, and able to fail in every way; the variable `fault` says how."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from tune_app.datasets.dataset import Dataset
from tune_app.spaces.variable import Categorical, Float, Int, Variable

FAULTS = (
    "none", "start", "epoch3", "nan", "inf", "missing", "oom", "exit", "exit_once", "hang", "unsaveable", "latin1",
    "sys_exit", "interrupt", "cancelled",
)  # fmt: skip


class State:
    """Two layers that are never trained."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.model = torch.nn.Sequential(torch.nn.Linear(1, 2), torch.nn.Linear(2, 1))
        self.epochs_here = 0

    def state_dict(self) -> dict[str, Any]:
        broken = {"broken": lambda: None} if self.config["fault"] == "unsaveable" else {}
        return {"model": self.model.state_dict(), **broken}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.model.load_state_dict(saved["model"])


class Faulty:
    """The score is `level` plus a little for every epoch; nothing is trained."""

    data_kind: ClassVar[str] = "none"
    variables: ClassVar[tuple[Variable, ...]] = (
        Variable("width", "architecture", Int(1, 64), 8, "Not used."),
        Variable("level", "training", Float(0.0, 1.0), 0.5, "The score starts here."),
        Variable("pace", "training", Float(0.0, 10.0), 0.0, "Seconds an epoch takes."),
        Variable("fault", "training", Categorical(FAULTS), "none", "What goes wrong."),
    )
    constraints: ClassVar[tuple[str, ...]] = ()
    metrics: ClassVar[Mapping[str, str]] = {"score": "maximize", "epochs_here": "maximize"}

    def load_data(self, dataset: str) -> Dataset:
        return Dataset("none", "none", {"x": np.zeros(4)}, {})

    def start(self, config: dict[str, Any], data: Dataset, *, epochs: int, seed: int, device: torch.device) -> State:
        assert data.test == {}
        if config["fault"] == "start":
            raise ValueError("cannot be built")
        return State(config)

    def train_epoch(self, state: State, epoch: int, progress: Any) -> Mapping[str, float]:
        print("what a user's task prints must not end up in --json")
        config, fault = state.config, state.config["fault"]
        time.sleep(config["pace"] / 2)
        progress(0.5)
        time.sleep(config["pace"] / 2)
        state.epochs_here += 1
        score = config["level"] + 0.01 * epoch
        if epoch == 3:
            if fault == "epoch3":
                raise RuntimeError("broke at epoch 3")
            if fault == "nan":
                return {"score": float("nan"), "epochs_here": 0}
            if fault == "inf":
                return {"score": float("inf"), "epochs_here": 0}
            if fault == "missing":
                return {"scores": score, "epochs_here": 0}
            if fault == "oom":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            if fault == "exit":
                os._exit(1)
            if fault == "hang":
                time.sleep(600)
            if fault == "sys_exit":
                raise SystemExit(4)
            if fault == "interrupt":
                raise KeyboardInterrupt
            if fault == "cancelled":  # like a panic in Rust, no `Exception`
                raise asyncio.CancelledError("late")
            if fault == "latin1":  # a file whose name is not UTF-8
                raise ValueError(f"no image in {os.fsdecode(b'caf' + bytes([0xE9]))}.png")
        if fault == "exit_once" and epoch == 4:
            marker = Path(os.environ["FAULTY_MARKERS"], "died")
            if not marker.exists():
                marker.touch()
                os._exit(1)
        return {"score": score, "epochs_here": state.epochs_here}

    def probe_loss(self, state: State) -> torch.Tensor:
        return state.model(torch.arange(4.0)[:, None]).square().mean()

    def sample(self, state: State) -> str:
        return f"level {state.config['level']:g}"

    def evaluate(self, state: State, arrays: Mapping[str, Any]) -> Mapping[str, float]:
        return {"score": 0.0}


class DyingState(State):
    """Kills its process once, at level 0.5, when the worker drops it to take the next trial."""

    def __del__(self) -> None:
        marker = Path(os.environ["FAULTY_MARKERS"], "died-between")
        if self.config["level"] == 0.5 and not marker.exists():
            marker.touch()
            os._exit(1)


class DiesBetween(Faulty):
    """The first trial succeeds, and its worker dies before it has taken the next one."""

    def start(self, config: dict[str, Any], data: Dataset, *, epochs: int, seed: int, device: torch.device) -> State:
        return DyingState(config)


class Deadly(Faulty):
    """Preparing its data kills the process, as the kernel does when memory runs out."""

    prepared_by: ClassVar[tuple[str, ...]] = ("width",)

    def prepare(self, config: dict[str, Any], data: Dataset) -> Dataset:
        os._exit(1)
