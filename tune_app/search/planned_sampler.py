"""The kind of sampler that `StudySearch` uses: it plans complete configurations and follows running trials."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study as OptunaStudy
from optuna.trial import FrozenTrial

from tune_app.spaces.variable import Config
from tune_app.store.trial_row import Source


class PlannedSampler(BaseSampler):
    """An Optuna sampler whose proposals satisfy the space's constraints, which cannot be done one value at a time.

    Attributes:
        learns_from_pruned: whether it does; a sampler that ignores pruned trials sees them as complete.
        source: whether its last plan was a random draw or came from a model.
    """

    learns_from_pruned = True
    source: Source = "model"
    _planned: tuple[int, Config] | None = None

    @abstractmethod
    def plan(self, study: OptunaStudy, trial: FrozenTrial) -> Config:
        """The configuration of a new trial: feasible, with a value for each variable that the space searches."""

    def begin(self, number: int, config: Config) -> None:
        """Trial `number`, the next one, runs with `config`, no matter who proposed it."""

    def report(self, number: int, gains: Mapping[int, float]) -> None:
        """The reports of trial `number` so far, by epoch, with the sign such that larger is better."""

    def fail(self, number: int) -> None:
        """Trial `number` failed because of its configuration: it ranks last."""

    def forget(self, number: int) -> None:
        """Trial `number` failed for other reasons: ignore it."""

    def infer_relative_search_space(self, study: OptunaStudy, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Nothing: every value comes from the plan, through `sample_independent`."""
        return {}

    def sample_relative(
        self, study: OptunaStudy, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Nothing, see `infer_relative_search_space`."""
        return {}

    def sample_independent(
        self, study: OptunaStudy, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The value in the plan for this trial; the first request creates the plan."""
        if self._planned is None or self._planned[0] != trial.number:
            self._planned = (trial.number, self.plan(study, trial))
        return self._planned[1][param_name]
