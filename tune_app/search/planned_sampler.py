"""What `StudySearch` asks for configurations: a sampler that plans each one whole, and hears of trials as they go."""

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
    """A sampler of Optuna whose proposals meet the space's constraints, which one value alone cannot.

    Attributes:
        learns_from_pruned: whether it does so; one that ignores them is told a pruned trial as complete.
        source: whether its latest plan was a random draw or came from a model.
    """

    learns_from_pruned = True
    source: Source = "model"
    _planned: tuple[int, Config] | None = None

    @abstractmethod
    def plan(self, study: OptunaStudy, trial: FrozenTrial) -> Config:
        """The configuration of a new trial: feasible, with a value for each variable that the space searches."""

    def begin(self, number: int, config: Config) -> None:
        """Trial `number`, the next one, runs with `config`, whoever proposed it."""

    def report(self, number: int, gains: Mapping[int, float]) -> None:
        """What trial `number` reported so far, by epoch, signed so that larger is better."""

    def fail(self, number: int) -> None:
        """Trial `number` failed by its configuration's own fault: nothing is worse."""

    def forget(self, number: int) -> None:
        """Trial `number` failed by no fault of its configuration: it says nothing."""

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
        """The value that the plan for this trial has; the plan is made when the first value is asked for."""
        if self._planned is None or self._planned[0] != trial.number:
            self._planned = (trial.number, self.plan(study, trial))
        return self._planned[1][param_name]
