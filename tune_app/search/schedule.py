"""Early stopping: Tune's schedulers by level, restored from the reports of earlier runs of the study."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from tune_app.search.halving import Halving
from tune_app.spaces import pruning
from tune_app.spaces.objective import objective_of
from tune_app.spaces.section import Objective, Pruning
from tune_app.store.event_log import TrialRecord


class _InOrder:
    """Leaves the choice of the next trial to the controller's own queue: otherwise Tune searches through all trials."""

    def choose_trial_to_run(self, tune_controller: TuneController) -> None:
        """No particular trial."""


class Hyperband(_InOrder, AsyncHyperBandScheduler):
    """Asynchronous Hyperband: successive halvings, or brackets, each starting at a later rung.

    A trial's number determines its bracket, not a random generator, so that a sweep can be repeated and resumed.
    """

    def on_trial_add(self, tune_controller: TuneController, trial: Trial) -> None:
        """Put the trial into a bracket."""
        self._trial_info[trial.trial_id] = self._brackets[trial.request["trial"] % len(self._brackets)]

    def remember(self, record: TrialRecord, values: Mapping[int, float]) -> None:
        """Put the values by epoch of an earlier trial on its rungs, as if this scheduler had seen them."""
        sign = 1.0 if self._mode == "max" else -1.0
        for milestone, recorded in self._brackets[record.trial % len(self._brackets)]._rungs:
            if milestone in values:
                recorded[record.trial_id] = sign * values[milestone]


class Median(_InOrder, MedianStoppingRule):
    """The median stopping rule; with too little to compare with, a trial continues instead of pausing."""

    def _on_insufficient_samples(self, tune_controller: TuneController, trial: Trial, time: float) -> str:
        return str(TrialScheduler.CONTINUE)

    def on_trial_complete(self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]) -> None:
        """Keep the last report, if there is one; a failed trial may have none."""
        if self._metric in result and self._time_attr in result:
            super().on_trial_complete(tune_controller, trial, result)

    def remember(self, record: TrialRecord, values: Mapping[int, float]) -> None:
        """Keep the values by epoch of an earlier trial, as if this scheduler had seen them."""
        for epoch, value in sorted(values.items()):
            self._results[record.trial_id].append({self._time_attr: epoch, self._metric: value})


class NoPruning(_InOrder, FIFOScheduler):
    """Every trial runs to its end."""

    def remember(self, record: TrialRecord, values: Mapping[int, float]) -> None:
        """Nothing."""


Scheduler = Halving | Hyperband | Median | NoPruning


def make_scheduler(section: Pruning, direction: str, epochs: int) -> Scheduler:
    """The scheduler for trials of at most `epochs` epochs; never stops a trial if pruning is off.

    It compares the ``objective`` that workers report.
    """
    found, factor = pruning.rungs(section, epochs)
    return MAKERS[section.scheduler if found else "none"](direction, epochs, found, factor)


def make_none(direction: str, epochs: int, rungs: Sequence[int], factor: int) -> NoPruning:
    """Every trial runs to its end."""
    return NoPruning()


def make_asha(direction: str, epochs: int, rungs: Sequence[int], factor: int) -> Halving:
    """Asynchronous successive halving (Li et al. 2020)."""
    return Halving([rung for rung in rungs if rung < epochs], factor, direction)


def make_hyperband(direction: str, epochs: int, rungs: Sequence[int], factor: int) -> Hyperband:
    """Asynchronous Hyperband (Li et al. 2018)."""
    return Hyperband(
        time_attr="epoch",
        metric="objective",
        mode="max" if direction == "maximize" else "min",
        max_t=epochs,
        grace_period=rungs[0],
        reduction_factor=factor,
        brackets=min(pruning.BRACKETS, len(rungs)),
    )


def make_median(direction: str, epochs: int, rungs: Sequence[int], factor: int) -> Median:
    """The median stopping rule (Golovin et al. 2017, Google Vizier)."""
    return Median(
        time_attr="epoch",
        metric="objective",
        mode="max" if direction == "maximize" else "min",
        grace_period=rungs[0],
    )


MAKERS: dict[str, Callable[[str, int, Sequence[int], int], Scheduler]] = {
    "asha": make_asha,
    "hyperband": make_hyperband,
    "median": make_median,
    "none": make_none,
}
"""The factory of each scheduler of `tune_app.spaces.strategy.SCHEDULERS`: from direction, epochs, rungs, and factor."""


def remember(scheduler: Scheduler, records: Iterable[TrialRecord], objective: Objective) -> None:
    """Replay the reports of the study's earlier trials to the scheduler."""
    for record in records:
        values = {epoch: objective_of(objective, row) for epoch, row in record.epochs.items()}
        scheduler.remember(record, {epoch: value for epoch, value in values.items() if value is not None})
