"""Fixtures shared by the tests of all tasks, and small Python scripts that are really run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from tune_app.datasets.dataset import Dataset
from tune_app.document import Document
from tune_app.spaces.catalog import Catalog
from tune_app.tasks import load_task
from tune_app.tasks.spec_file import read_spec
from tune_app.training.trial import Training

LOOP = """
import argparse, pathlib, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("--out", type=pathlib.Path)
parser.add_argument("--lr", type=float)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--resume", action="store_true")
given = parser.parse_args()
at = int((given.out / "step").read_text()) if given.resume else 0
print("hello", file=sys.stderr)
"""


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Scripts:
    """Writes scripts to the current folder and returns a training of each."""

    STDOUT: ClassVar[str] = r"step (?P<step>\d+): val loss (?P<val_loss>\S+)"
    TRAINING: ClassVar[str] = """
while at <= 80:
    if at % 20 == 0:
        print(f"step {at}: val loss {given.lr + at}, done")
        (given.out / "step").write_text(str(at))
    at += 5
"""
    """The code after the argument parsing in a script that trains."""

    def __init__(self) -> None:
        self.begun: list[Training] = []

    def __call__(self, text: str, epochs: int = 4, **sections: Any) -> Training:
        """A training of a script with `text` after its argument parsing; `sections` belong to the search space."""
        Path("train.py").write_text(LOOP + text)
        task = load_task("script", self.catalog(**sections))
        data = Dataset("none", "none", {}, {})
        self.begun.append(Training(task, {"lr": 0.5}, data, epochs=epochs, seed=7, threads=1))
        return self.begun[-1]

    @classmethod
    def catalog(cls, **sections: Any) -> Catalog:
        """The catalog of a search space for the script."""
        document = {
            "schema_version": 1,
            "name": "mine",
            "task": "script",
            "command": "python train.py --out={trial_folder}",
            "report": {"stdout": cls.STDOUT, "every": 20},
            "metrics": {"val_loss": "minimize"},
            "seed": "--seed={seed}",
            "parameters": {"training": {"lr": {"type": "float", "low": 0.0, "high": 1.0}}},
            **sections,
        }
        return read_spec(Document.of(document, "space")).catalog

    @staticmethod
    def losses(training: Training) -> list[Any]:
        """Train to the end and return the loss of each epoch."""
        while not training.finished:
            training.run_epoch()
        return [row.metrics["val_loss"] for row in training.history]


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripts]:
    """See `Scripts`; the trainings are closed after the test."""
    monkeypatch.chdir(tmp_path)
    scripts = Scripts()
    yield scripts
    for training in scripts.begun:
        training.close()


@pytest.fixture(scope="session")
def script_catalog() -> Callable[..., Catalog]:
    """See `Scripts.catalog`."""
    return Scripts.catalog
