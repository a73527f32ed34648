"""A study run from a notebook, with its results as tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from tune_app.results.review import best, config_of, load_epochs, load_trials
from tune_app.spaces.catalog import Catalog, arranged
from tune_app.store.study import Study
from tune_app.sweep.sweep import Outcome


@dataclass(frozen=True)
class FinishedStudy:
    """The result of `tune_app.run`.

    Attributes:
        name: of the study.
        store: root of its store.
        outcome: why it ended, if early, and the number of trials in each end state.
    """

    name: str
    store: str
    outcome: Outcome
    _study: Study
    _catalog: Catalog

    def __repr__(self) -> str:
        """One line: what a notebook shows if a cell ends with the study."""
        ended = ", ".join(f"{count} {state.lower()}" for state, count in self.outcome.states.items())
        return f"<study {self.name} in {self.store}: {ended}>"

    @property
    def trials(self) -> pd.DataFrame:
        """One row per trial, see `tune_app.load_trials`."""
        return load_trials(self.name, self.store)

    @property
    def epochs(self) -> pd.DataFrame:
        """One row per trial and epoch, see `tune_app.load_epochs`."""
        return load_epochs(self.name, self.store)

    @property
    def best(self) -> pd.Series[Any]:
        """The row of the best completed trial.

        Raises:
            WorkFailed: nothing completed.
        """
        return best(self.name, self.store)

    @property
    def best_config(self) -> dict[str, Any]:
        """The configuration of the best completed trial, as the function received it.

        Raises:
            WorkFailed: nothing completed.
        """
        return arranged(config_of(self.best, self._catalog.variables), self._catalog)
