"""The common part of functions and scripts as tasks: their search space defines variables and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tune_app.datasets.dataset import Dataset
from tune_app.spaces.catalog import Catalog
from tune_app.spaces.variable import DatasetReference


class OpenTask:
    """The shared part of the contract `tune_app.tasks.task.Task`.

    Attributes:
        open: True: the search space defines its variables and metrics.
        catalog: built from the search space.
    """

    data_kind = "none"
    open = True

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.variables, self.constraints, self.metrics = catalog.variables, catalog.constraints, catalog.metrics

    def load_data(self, dataset: DatasetReference) -> Dataset:
        """Empty: the user's code loads its own data."""
        return Dataset("none", self.data_kind, {}, {})

    def evaluate(self, state: Any, arrays: Mapping[str, Any]) -> Mapping[str, float | None]:
        """Empty: the user's code has its own test data."""
        return {}
