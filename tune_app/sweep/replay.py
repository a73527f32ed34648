"""A sweep in virtual time over recorded curves, with the real sampler and the real scheduler.

Nothing is trained: a trial's figures and the duration of its epochs come from curves. No report is visible before its
time, so the sampler and the scheduler know at each moment what they would know in a sweep.
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
from tune_app.spaces.variable import Config
from tune_app.store.trial_row import TrialState

Array = np.ndarray[Any, Any]
STOP = "STOP"


@dataclass(frozen=True)
class Curve:
    """The result of training a configuration.

    Attributes:
        values: (epochs,), the observed objective after each epoch, with the noise of the trial's seed; NaN from the
            epoch at which it diverges. The training ends after the last one.
        ends: (epochs,), virtual seconds from the start of the trial to the end of each epoch.
        truth: the objective after the last epoch without noise; NaN for a configuration that diverges.
    """

    values: Array
    ends: Array
    truth: float


class Curves(Protocol):
    """Recorded curves of one task."""

    def curve(self, config: Config) -> Curve:
        """The curve of a configuration whose trial starts now."""
        ...


@dataclass(eq=False)  # schedulers of Ray Tune keep trials as keys
class ReplayedTrial:
    """A trial of a replay, with everything that Ray Tune's schedulers read from a trial.

    Attributes:
        request: its number, as the scheduler reads it.
        started, ended: virtual seconds since the start of the replay.
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
    """The state of a replay when a trial completed.

    Attributes:
        epochs: total number trained by all trials.
        truth: of the completed trial that looked best.
    """

    epochs: int
    truth: float


@dataclass
class Outcome:
    """The result of a replay.

    Attributes:
        progress: one entry for each time that another trial looked best, in order of time.
        seconds: total virtual seconds.
        suggestion_s: wall seconds of all suggestions of the sampler.
    """

    trials: list[ReplayedTrial] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)
    epochs: int = 0
    seconds: float = 0.0
    suggestion_s: float = 0.0

    def truth_at(self, epochs: float) -> float | None:
        """The true value of the trial that looked best after `epochs` epochs; None if nothing had completed."""
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
        workers: how many trials run in parallel.
        first: configurations to try before asking the sampler.
        epoch_s: wall seconds per virtual second, so that a suggestion costs time of the worker that waits for it; None
            if suggestions are free.
    """
    sweep = _Sweep(search, scheduler, objective, curves, rungs, list(reversed(first)), epoch_s)
    for _ in range(workers):
        sweep.start(0.0)
    while sweep.running:
        trial = sweep.report_next()
        if sweep.outcome.epochs >= budget:
            break
        if trial.state is not TrialState.RUNNING and (trials is None or len(sweep.outcome.trials) < trials):
            sweep.start(sweep.outcome.seconds)
    return sweep.outcome


@dataclass
class _Sweep:
    """A replay while it runs; see `replay` for the arguments.

    Attributes:
        pending: configurations to start with, in reverse order.
        running: a heap of the trials that run, each with the virtual second of its next report and its number.
    """

    search: StudySearch
    scheduler: Scheduler
    objective: Objective
    curves: Curves
    rungs: Sequence[int]
    pending: list[Config]
    epoch_s: float | None
    running: list[tuple[float, int, ReplayedTrial]] = field(default_factory=list)
    best: ReplayedTrial | None = None
    outcome: Outcome = field(default_factory=Outcome)

    def start(self, now: float) -> None:
        """Start the next trial."""
        number = len(self.outcome.trials)
        name = f"replay-{number:05d}"
        began = time.perf_counter()
        config = self.search.adopt(name, self.pending.pop()) if self.pending else self.search.suggest(name)
        took = time.perf_counter() - began
        self.outcome.suggestion_s += took
        begin = now + (took / self.epoch_s if self.epoch_s else 0.0)
        trial = ReplayedTrial(name, {"trial": number}, config, self.curves.curve(config), begin)
        self.outcome.trials.append(trial)
        self.scheduler.on_trial_add(None, trial)
        self._await(trial)

    def report_next(self) -> ReplayedTrial:
        """Advance to the next report; returns the trial, which may have ended with it."""
        now, _, trial = heapq.heappop(self.running)
        stop = self._next_stop(trial)
        self.outcome.epochs += stop - trial.epochs
        self.outcome.seconds = now
        self._report(trial, stop)
        if trial.state is TrialState.RUNNING:
            self._await(trial)
            return trial
        trial.ended = now
        if trial.state is TrialState.COMPLETED and (self.best is None or self._key(trial) < self._key(self.best)):
            self.best = trial
            self.outcome.progress.append(Progress(self.outcome.epochs, trial.curve.truth))
        return trial

    def _await(self, trial: ReplayedTrial) -> None:
        ends = float(trial.curve.ends[self._next_stop(trial) - 1])
        heapq.heappush(self.running, (trial.started + ends, trial.number, trial))

    def _report(self, trial: ReplayedTrial, stop: int) -> None:
        """Report the trial up to epoch `stop`, and apply the scheduler's decision."""
        values = trial.curve.values[trial.epochs : stop]
        finite = np.isfinite(values)
        good = len(values) if finite.all() else int(finite.argmin())
        rows = [
            {"epoch": trial.epochs + position + 1, f"metric/{self.objective.metric}": float(value)}
            for position, value in enumerate(values[:good])
        ]
        trial.epochs = stop
        if good < len(values):
            trial.state = TrialState.FAILED
            self.scheduler.on_trial_error(None, trial)
            failed = {"rows": rows, "finished": False, "failure_kind": "diverged"}
            self.search.on_trial_complete(trial.trial_id, failed)
            return
        finished = stop == len(trial.curve.values)
        facts = {"training_iteration": stop, "epoch": stop, "objective": float(values[-1])}
        result = {**facts, "rows": rows, "finished": finished}
        if finished:
            trial.state = TrialState.COMPLETED
            self.scheduler.on_trial_complete(None, trial, result)
            self.search.on_trial_complete(trial.trial_id, result)
        elif self.scheduler.on_trial_result(None, trial, result) == STOP:
            trial.state = TrialState.PRUNED
            self.search.on_trial_complete(trial.trial_id, result)
        else:
            self.search.on_trial_result(trial.trial_id, result)

    def _next_stop(self, trial: ReplayedTrial) -> int:
        """The epoch at which the trial reports next."""
        last = len(trial.curve.values)
        return next((rung for rung in self.rungs if trial.epochs < rung < last), last)

    def _key(self, trial: ReplayedTrial) -> tuple[bool, float, int]:
        return rank(self.objective.direction, float(trial.curve.values[-1]), trial.number)
