"""Any sampler, restricted to configurations with known results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from optuna.study import Study as OptunaStudy
from optuna.trial import FrozenTrial, TrialState

from tune_app.search.planned_sampler import PlannedSampler
from tune_app.spaces.variable import Config


class RecordedSampler(PlannedSampler):
    """Proposes the recorded configuration nearest to the proposal of `inner`, and reports that one to `inner`.

    Args:
        nearest: maps any configuration to a recorded one.
    """

    def __init__(self, inner: PlannedSampler, nearest: Callable[[Config], Config]) -> None:
        self._inner, self._nearest = inner, nearest
        self.learns_from_pruned = inner.learns_from_pruned

    def plan(self, study: OptunaStudy, trial: FrozenTrial) -> Config:
        """See `PlannedSampler`."""
        return self._nearest(self._inner.plan(study, trial))

    def begin(self, number: int, config: Config) -> None:
        """See `PlannedSampler`."""
        self._inner.begin(number, config)

    def report(self, number: int, gains: Mapping[int, float]) -> None:
        """See `PlannedSampler`."""
        self._inner.report(number, gains)

    def fail(self, number: int) -> None:
        """See `PlannedSampler`."""
        self._inner.fail(number)

    def forget(self, number: int) -> None:
        """See `PlannedSampler`."""
        self._inner.forget(number)

    def before_trial(self, study: OptunaStudy, trial: FrozenTrial) -> None:
        """Pass on to the inner sampler."""
        self._inner.before_trial(study, trial)

    def after_trial(self, study: OptunaStudy, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """Pass on to the inner sampler."""
        self._inner.after_trial(study, trial, state, values)
