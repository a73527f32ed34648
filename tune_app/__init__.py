"""tune-app: find, judge and keep good configurations of PyTorch models on a Ray cluster.

The names below and the file formats are stable. They are imported on first use, so that ``import tune_app`` and
``tune-app --help`` are fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tune_app.datasets.dataset import Dataset as Dataset
    from tune_app.notebook.run import run as run
    from tune_app.results.review import best as best
    from tune_app.results.review import load_epochs as load_epochs
    from tune_app.results.review import load_trials as load_trials
    from tune_app.spaces.variable import Categorical as Categorical
    from tune_app.spaces.variable import Float as Float
    from tune_app.spaces.variable import Int as Int
    from tune_app.spaces.variable import Variable as Variable

__version__ = "0.1.0"
__all__ = ["Categorical", "Dataset", "Float", "Int", "Variable", "best", "load_epochs", "load_trials", "run"]

_HOMES = {
    "Categorical": "tune_app.spaces.variable",
    "Dataset": "tune_app.datasets.dataset",
    "Float": "tune_app.spaces.variable",
    "Int": "tune_app.spaces.variable",
    "Variable": "tune_app.spaces.variable",
    "best": "tune_app.results.review",
    "load_epochs": "tune_app.results.review",
    "load_trials": "tune_app.results.review",
    "run": "tune_app.notebook.run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
