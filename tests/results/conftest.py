"""A made-up study whose objective depends only on the learning rate, for figures and importances."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tune_app.document import Document
from tune_app.spaces.feasibility import sample
from tune_app.spaces.spec import Spec
from tune_app.tasks.spec_file import read_spec

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
DOCUMENT: dict[str, Any] = {
    "schema_version": 1,
    "name": "pictures",
    "task": "image_cnn",
    "dataset": "digits",
    "objective": {"metric": "val_accuracy"},
    "budget": {"trials": 40, "epochs": 9},
    "parameters": {
        "architecture": {"filters": {"type": "categorical", "choices": [8, 16, 32]}},
        "training": {
            "optimizer": {"type": "categorical", "choices": ["sgd", "adamw"]},
            "learning_rate": {"type": "float", "low": 1e-4, "high": 1.0, "log": True},
            "momentum": {"type": "float", "low": 0.5, "high": 0.99, "when": "optimizer == 'sgd'"},
        },
    },
}


@pytest.fixture(scope="session")
def spec_with() -> Callable[..., Spec]:
    """The space of the made-up study with other sections."""
    return lambda **sections: read_spec(Document.of({**DOCUMENT, **sections}, "here"))


@pytest.fixture(scope="session")
def spec(spec_with: Callable[..., Spec]) -> Spec:
    return spec_with()


@pytest.fixture(scope="session")
def trials(spec: Spec) -> pd.DataFrame:
    """40 trials on two slots whose objective depends only on the learning rate; some failed, some were pruned."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(40):
        config = sample(spec.space, rng)
        state = "FAILED" if number % 5 == 4 else "PRUNED" if number % 3 == 2 else "COMPLETED"
        began = BEGAN + timedelta(seconds=number // 2 * 10)
        rows.append(
            {
                "trial": number,
                "state": state,
                "objective": None if state == "FAILED" else 1.0 - abs(np.log10(float(config["learning_rate"])) + 2) / 4,
                "epochs": 9 if state == "COMPLETED" else 3,
                "failure_kind": "diverged" if state == "FAILED" else None,
                "error": "Diverged: a metric must be finite" if state == "FAILED" else None,
                "started_at": began,
                "ended_at": began + timedelta(seconds=9),
                "duration_s": 9.0,
                "node": "127.0.0.1",
                **{f"config/{spec.space.by_name[name].group}/{name}": value for name, value in config.items()},
            }
        )
    return pd.DataFrame(rows)


@pytest.fixture(scope="session")
def epochs(trials: pd.DataFrame) -> pd.DataFrame:
    """Nine epochs for each completed trial, three for the others."""
    ends = {"COMPLETED": 9, "PRUNED": 3, "FAILED": 3}
    return pd.DataFrame(
        [
            {"trial": trial, "epoch": epoch, "metric/val_accuracy": epoch / 10}
            for trial, state in zip(trials["trial"], trials["state"], strict=True)
            for epoch in range(1, ends[state] + 1)
        ]
    )
