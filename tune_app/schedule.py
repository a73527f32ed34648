"""Early stopping: Tune's ASHA, set by one word, and filled with what earlier runs of the study reported."""

from __future__ import annotations

from collections.abc import Iterable

from ray.tune.execution.tune_controller import TuneController
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from tune_app import pruning
from tune_app.section import Pruning
from tune_app.store import TrialRecord


class _InOrder:
    """Leaves the choice of the next trial to the controller's own queue: Tune looks through all trials otherwise."""

    def choose_trial_to_run(self, tune_controller: TuneController) -> None:
        """No trial in particular."""


class Asha(_InOrder, AsyncHyperBandScheduler):
    """Asynchronous successive halving."""


class NoPruning(_InOrder, FIFOScheduler):
    """Every trial runs to its end."""


def make_scheduler(section: Pruning, metric: str, direction: str, epochs: int) -> TrialScheduler:
    """The scheduler for trials of at most `epochs` epochs; one that never stops a trial where pruning is off."""
    found, factor = pruning.rungs(section, epochs)
    if not found:
        return NoPruning()
    return Asha(
        time_attr="epoch",
        metric=metric,
        mode="max" if direction == "maximize" else "min",
        max_t=epochs,
        grace_period=found[0],
        reduction_factor=factor,
    )


def remember(scheduler: TrialScheduler, records: Iterable[TrialRecord], metric: str) -> None:
    """Put the reports of earlier trials on their rungs, as if this scheduler had seen them."""
    if not isinstance(scheduler, AsyncHyperBandScheduler):
        return
    sign = 1.0 if scheduler._mode == "max" else -1.0
    for record in records:
        for milestone, recorded in scheduler._brackets[0]._rungs:
            if milestone in record.epochs and (value := record.epochs[milestone][f"metric/{metric}"]) is not None:
                recorded[record.trial_id] = sign * value
