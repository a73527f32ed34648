"""Training of a function without Ray, as a worker runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tune_app.datasets.dataset import Dataset
from tune_app.spaces.catalog import Catalog
from tune_app.spaces.variable import Categorical, Variable
from tune_app.tasks.function_task import FunctionTask
from tune_app.training.trial import Training

MakeTraining = Callable[..., Training]


@pytest.fixture
def make_training() -> MakeTraining:
    """`make_training(function, metrics, **config)` trains the function for four epochs."""

    def make(function: Any, metrics: dict[str, str], epochs: int = 4, **config: Any) -> Training:
        variables = tuple(
            Variable(name, "training", Categorical((value,)), value, "A constant.") for name, value in config.items()
        )
        catalog = Catalog("train:tune", variables, metrics=metrics, open=True)
        task: Any = FunctionTask(function, catalog)
        return Training(task, config, Dataset("none", "none", {}, {}), epochs=epochs, seed=3, threads=1)

    return make
