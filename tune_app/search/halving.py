"""Our own asynchronous successive halving: `asha`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from tune_app.store.event_log import TrialRecord

RECENT = 64
"""Number of recent arrivals at a rung to compare with: only recent ones, because the sampler improves."""
LEAST = 4
"""Number of arrivals before a rung stops anything."""


class Halving(TrialScheduler):
    """Only the best fraction of recent arrivals continues after each rung (ASHA: Li et al. 2020).

    It differs from Tune's `AsyncHyperBandScheduler` in three ways. A trial is compared with recent arrivals. A rung
    decides only after `LEAST` arrivals, whereas in Tune the first one always passes. And a trial that reached a rung
    early is compared again at each later report, with those that came after it; of two equal ones, neither beats the
    other.
    """

    def __init__(self, rungs: Sequence[int], factor: int, direction: str) -> None:
        super().__init__()
        self._rungs, self._factor = tuple(rungs), factor
        self._sign = -1.0 if direction == "maximize" else 1.0
        self._arrived: dict[int, dict[str, float]] = {rung: {} for rung in self._rungs}
        self._costs: dict[str, dict[int, float]] = {}

    def choose_trial_to_run(self, tune_controller: TuneController) -> None:
        """No particular trial: Tune would search through all of them."""

    def on_trial_add(self, tune_controller: TuneController, trial: Trial) -> None:
        """Nothing."""

    def on_trial_result(self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]) -> str:
        """Stop the trial if it is not among the best at a rung it has reached."""
        objective, epoch = result.get("objective"), result["epoch"]
        if objective is None or math.isnan(objective):
            return str(TrialScheduler.CONTINUE)
        costs = self._costs.setdefault(trial.trial_id, {})
        if epoch in self._arrived:
            costs[epoch] = self._sign * objective
            self._arrived[epoch][trial.trial_id] = costs[epoch]  # a trial that runs again arrives only once
        stops = any(self._loses(rung, cost) for rung, cost in costs.items())
        return str(TrialScheduler.STOP if stops else TrialScheduler.CONTINUE)

    def on_trial_error(self, tune_controller: TuneController, trial: Trial) -> None:
        """Forget it; what it reported still counts."""
        self._costs.pop(trial.trial_id, None)

    def on_trial_complete(self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]) -> None:
        """Forget it; what it reported still counts."""
        self._costs.pop(trial.trial_id, None)

    def on_trial_remove(self, tune_controller: TuneController, trial: Trial) -> None:
        """Forget it; what it reported still counts."""
        self._costs.pop(trial.trial_id, None)

    def debug_string(self) -> str:
        """The arrivals at each rung."""
        return ", ".join(f"epoch {rung}: {len(arrived)} arrived" for rung, arrived in self._arrived.items())

    def remember(self, record: TrialRecord, values: Mapping[int, float]) -> None:
        """Put the values by epoch of an earlier trial on its rungs, as if this scheduler had seen them."""
        for rung, arrived in self._arrived.items():
            if rung in values:
                arrived[record.trial_id] = self._sign * values[rung]

    def _loses(self, rung: int, cost: float) -> bool:
        recent = list(itertools.islice(reversed(self._arrived[rung].values()), RECENT))
        if len(recent) < LEAST:
            return False
        as_good = sum(other <= cost for other in recent)  # it is one of them, unless many have arrived since
        return as_good > math.ceil(len(recent) / self._factor)
