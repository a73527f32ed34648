"""What a function and a script have in common as tasks: their search space says what they take and tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tune_app.datasets.dataset import Dataset
from tune_app.spaces.catalog import Catalog
from tune_app.spaces.variable import DatasetReference


class OpenTask:
    """The part of the contract of `tune_app.tasks.task.Task` that is the same for both.

    Attributes:
        open: True: its variables and metrics are those of the search space.
        catalog: what the search space says of them.
    """

    data_kind = "none"
    open = True

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.variables, self.constraints, self.metrics = catalog.variables, catalog.constraints, catalog.metrics

    def load_data(self, dataset: DatasetReference) -> Dataset:
        """Nothing: the user's code loads its own."""
        return Dataset("none", self.data_kind, {}, {})

    def evaluate(self, state: Any, arrays: Mapping[str, Any]) -> Mapping[str, float | None]:
        """Nothing: a test part is the user's own."""
        return {}
