"""A sweep in virtual time over recorded curves, with the real sampler and the real scheduler.

Nothing is trained: a trial's figures are read from curves, and its epochs take the time that they say. No report is
visible before its time, so that the sampler and the scheduler know at each moment what they would know in a sweep.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from tune_app.search.schedule import Scheduler
from tune_app.search.study_search import StudySearch
from tune_app.spaces.objective import rank
from tune_app.spaces.section import Objective
from tune_app.spaces.variable import Config, Direction
from tune_app.store.trial_row import TrialState

Array = np.ndarray[Any, Any]
STOP = "STOP"


@dataclass(frozen=True)
class Curve:
    """What training a configuration gives.

    Attributes:
        values: (epochs,), the objective that is observed after each epoch, with the noise of the trial's seed; NaN from
            the epoch at which it diverges.
        ends: (epochs,), virtual seconds from the start of the trial to the end of each epoch.
        truth: the objective after the last epoch without noise; NaN for a configuration that diverges.
    """

    values: Array
    ends: Array
    truth: float


class Curves(Protocol):
    """Recorded curves of one task.

    Attributes:
        epochs: of a full training.
    """

    epochs: int

    def curve(self, config: Config) -> Curve:
        """The curve of a configuration; the same each time, noise included."""
        ...


@dataclass
class ReplayedTrial:
    """A trial of a replay; it has what Ray Tune's schedulers ask a trial for.

    Attributes:
        request: its number, as the scheduler reads it.
        started, ended: virtual seconds since the begin of the replay.
    """

    trial_id: str
    request: Mapping[str, int]
    config: Config
    curve: Curve
    started: float
    epochs: int = 0
    ended: float | None = None
    state: TrialState = TrialState.RUNNING

    @property
    def number(self) -> int:
        """Its number, from 0."""
        return self.request["trial"]


@dataclass(frozen=True)
class Progress:
    """Where a replay stood when a trial completed.

    Attributes:
        epochs: that all trials together had trained.
        truth: of the completed trial that looked best.
    """

    epochs: int
    truth: float


@dataclass
class Outcome:
    """What a replay came to.

    Attributes:
        progress: one entry for each time that another trial looked best, in the order of time.
        seconds: virtual seconds that it took.
        suggestion_s: wall seconds that the sampler took for all suggestions.
    """

    trials: list[ReplayedTrial] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)
    epochs: int = 0
    seconds: float = 0.0
    suggestion_s: float = 0.0

    def truth_at(self, epochs: float) -> float | None:
        """The true value of what looked best after `epochs` epochs; None while nothing had completed."""
        known = [step.truth for step in self.progress if step.epochs <= epochs]
        return known[-1] if known else None


def replay(
    search: StudySearch,
    scheduler: Scheduler,
    objective: Objective,
    curves: Curves,
    rungs: Sequence[int],
    *,
    workers: int,
    budget: int,
    trials: int | None = None,
    first: Sequence[Config] = (),
    epoch_s: float | None = None,
) -> Outcome:
    """Run trials until `budget` epochs were trained, or `trials` trials have ended.

    Args:
        rungs: epochs after which the scheduler decides.
        workers: how many trials run side by side.
        first: configurations to begin with, before the sampler is asked.
        epoch_s: wall seconds for which a virtual second stands, so that a suggestion takes its time from the worker
            that waits for it; None if suggestions cost nothing.
    """
    outcome, direction = Outcome(), objective.direction
    pending = list(reversed(first))
    queue: list[tuple[float, int, ReplayedTrial]] = []
    best: ReplayedTrial | None = None

    def start(now: float) -> None:
        number = len(outcome.trials)
        began = time.perf_counter()
        name = f"replay-{number:05d}"
        config = search.adopt(name, pending.pop()) if pending else search.suggest(name)
        took = time.perf_counter() - began
        outcome.suggestion_s += took
        begin = now + (took / epoch_s if epoch_s else 0.0)
        trial = ReplayedTrial(name, {"trial": number}, config, curves.curve(config), begin)
        outcome.trials.append(trial)
        scheduler.on_trial_add(None, trial)
        heapq.heappush(queue, (begin + _end_of(trial, _next_stop(trial, rungs, curves.epochs)), number, trial))

    for _ in range(workers):
        start(0.0)
    while queue:
        now, _, trial = heapq.heappop(queue)
        stop = _next_stop(trial, rungs, curves.epochs)
        outcome.epochs += stop - trial.epochs
        outcome.seconds = now
        _report(search, scheduler, trial, stop, curves.epochs, objective)
        if trial.state is TrialState.RUNNING:
            heapq.heappush(queue, (trial.started + _end_of(trial, _next_stop(trial, rungs, curves.epochs)), _, trial))
            if outcome.epochs >= budget:
                return outcome
            continue
        trial.ended = now
        if trial.state is TrialState.COMPLETED and (best is None or _key(trial, direction) < _key(best, direction)):
            best = trial
            outcome.progress.append(Progress(outcome.epochs, trial.curve.truth))
        if outcome.epochs >= budget:
            return outcome
        if trials is None or len(outcome.trials) < trials:
            start(now)
    return outcome


def _report(
    search: StudySearch, scheduler: Scheduler, trial: ReplayedTrial, stop: int, epochs: int, objective: Objective
) -> None:
    """Tell what the trial did up to epoch `stop`, and do what the scheduler decides."""
    values = trial.curve.values[trial.epochs : stop]
    finite = np.isfinite(values)
    good = len(values) if finite.all() else int(finite.argmin())
    rows = [
        {"epoch": trial.epochs + position + 1, f"metric/{objective.metric}": float(value)}
        for position, value in enumerate(values[:good])
    ]
    trial.epochs = stop
    if good < len(values):
        trial.state = TrialState.FAILED
        scheduler.on_trial_error(None, trial)
        search.on_trial_complete(trial.trial_id, {"rows": rows, "finished": False, "failure_kind": "diverged"})
        return
    result = {
        "training_iteration": stop,
        "epoch": stop,
        "objective": float(values[-1]),
        "rows": rows,
        "finished": stop == epochs,
    }
    if stop == epochs:
        trial.state = TrialState.COMPLETED
        scheduler.on_trial_complete(None, trial, result)
        search.on_trial_complete(trial.trial_id, result)
    elif scheduler.on_trial_result(None, trial, result) == STOP:
        trial.state = TrialState.PRUNED
        search.on_trial_complete(trial.trial_id, result)
    else:
        search.on_trial_result(trial.trial_id, result)


def _next_stop(trial: ReplayedTrial, rungs: Sequence[int], epochs: int) -> int:
    """The epoch at which the trial reports next."""
    return next((rung for rung in rungs if rung > trial.epochs and rung < epochs), epochs)


def _end_of(trial: ReplayedTrial, epoch: int) -> float:
    return float(trial.curve.ends[epoch - 1])


def _key(trial: ReplayedTrial, direction: Direction) -> tuple[bool, float, int]:
    return rank(direction, float(trial.curve.values[-1]), trial.number)
