"""The sweep: one search space, many trials, on any backend."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

from tune_app.datasets.dataset import Dataset
from tune_app.search import schedule
from tune_app.search.history import PORTFOLIO, keep_history, kept_history, make_portfolio
from tune_app.search.past_study import PastPreference
from tune_app.search.samplers import make_sampler
from tune_app.search.study_search import StudySearch
from tune_app.spaces.objective import directions_of
from tune_app.spaces.spec import Spec
from tune_app.spaces.variable import Config
from tune_app.store.event_log import History
from tune_app.store.study import Study
from tune_app.store.trial_row import TrialRow
from tune_app.sweep.backend import Backend, Plan
from tune_app.sweep.fuse import blown
from tune_app.sweep.interrupts import Interrupts, counted_interrupts
from tune_app.sweep.recorder import Recorder
from tune_app.sweep.requests import requests_of, with_retries
from tune_app.sweep.steering import Steering
from tune_app.sweep.study_files import open_study_files
from tune_app.sweep.watchdog import TERMINATED, Watchdog
from tune_app.training.seed import derive_seed

LOOK_PERIOD_S = 0.05
"""How often the live state is updated: a reader should see a trial start within a quarter of a second."""

Show = Callable[[dict[str, Any]], None]
Reason = Literal["time", "interrupt", "terminate", "fuse", "lost"]


@dataclass
class Outcome:
    """How a sweep ended.

    Attributes:
        reason: why it ended before all trials were done; None if it did not. ``lost``: the backend died.
        message: the reason in words.
        states: how many trials of the study are in which end state.
        best: row of the best completed trial; None if nothing completed.
    """

    reason: Reason | None
    message: str | None
    states: dict[str, int]
    best: TrialRow | None


def run_sweep(
    spec: Spec,
    study: Study,
    data: Dataset,
    backend: Backend,
    *,
    show: Show,
    start_with: Sequence[Config] = (),
    past: Sequence[PastPreference] = (),
    retry: Sequence[int] = (),
    time_limit: float | None = None,
    fuse: bool = True,
    tensorboard: bool = True,
    watchdog: Watchdog | None = None,
) -> Outcome:
    """Run the trials of `spec` that `study` does not have yet; the study must be locked.

    Args:
        data: the data set; its test part stays here.
        backend: trains the trials; closed at the end.
        show: called with the live state repeatedly.
        start_with: configurations for the first new trials, before asking the sampler; stored in the study, so that a
            resumed sweep does not need them again.
        past: preferences of past studies, for a new study; also stored.
        retry: trials of the study to retry, as new ones with the same configuration and seed.
        time_limit: seconds after which this run ends.
        fuse: stop when trials keep failing, see `fuse.py`.
        tensorboard: write TensorBoard files, if the store is a folder.
        watchdog: finishes the files if the backend no longer responds to this thread.

    Raises:
        InputError: the backend has no room for a trial; a trial to retry has not ended.
        WorkFailed: the store could not be written.
    """
    history = study.history()
    if history.last_event:
        past = [PastPreference.fit(one, spec.space) for one in kept_history(study)]
    plan = _plan(spec, study, data, history, start_with, past, retry)
    # Count interrupts to the end: one must not interrupt the stopping of workers.
    with counted_interrupts() as interrupts, closing(backend):
        backend.begin(plan)
        facts = {"resources": dict(backend.resources()), "history": [one.study.reference for one in past]}
        if not history.last_event:
            keep_history(study, [one.study for one in past])
        with open_study_files(spec, study, history, data, facts, start_with, tensorboard) as files:
            recorder = Recorder(files, spec, backend, plan.search.suggestions)
            steering = Steering(spec, files, backend, recorder, plan.requests)
            watchdog = watchdog or Watchdog(lambda cause: None)
            with watchdog.guarding(lambda cause: recorder.finish(*cause, show)):
                reason, message = _drive(
                    backend, recorder, steering, spec, interrupts, watchdog, show, time_limit, fuse
                )
            steering.end()
            if reason not in ("lost", "terminate") and (shared := backend.shared_data()):
                files.add_provenance({"shared_sha256": dict(shared)})
            recorder.end(reason, message, show)
        # After the files: a dying Ray may never respond.
        if reason is not None:
            backend.abandon()
    return Outcome(reason, message, dict(recorder.states), recorder.best)


def _plan(
    spec: Spec,
    study: Study,
    data: Dataset,
    history: History,
    start_with: Sequence[Config],
    past: Sequence[PastPreference],
    retry: Sequence[int],
) -> Plan:
    """The remaining trials, with a sampler and a scheduler that know the study so far."""
    finished = [record for record in history.trials.values() if record.finished]
    # A resumed sampler must not repeat its first proposals.
    seed = derive_seed(spec.search.seed + 1, len(finished)) if finished else spec.search.seed
    sampler = make_sampler(
        spec.search.sampler,
        spec.space,
        seed,
        spec.budget.trials,
        spec.budget.epochs,
        len(directions_of(spec.objective)),
        past,
    )
    search = StudySearch(spec.space, spec.objective, sampler)
    search.remember(finished)
    scheduler = schedule.make_scheduler(spec.pruning, spec.objective.direction, spec.budget.epochs)
    schedule.remember(scheduler, history.trials.values(), spec.objective)
    portfolio = make_portfolio(spec.space, past, min(PORTFOLIO, spec.budget.trials // 2))
    requests = with_retries(requests_of(spec, history, start_with, portfolio), history, retry, spec.budget.trials)
    return Plan(spec, study, data, requests, search, scheduler)


def _drive(
    backend: Backend,
    recorder: Recorder,
    steering: Steering,
    spec: Spec,
    interrupts: Interrupts,
    watchdog: Watchdog,
    show: Show,
    time_limit: float | None,
    fuse: bool,
) -> tuple[Reason | None, str | None]:
    """Process events until all trials have ended or something ends the sweep early."""
    deadline = time.monotonic() + (time_limit or math.inf)
    reason: Reason | None = None
    message = None
    next_look = 0.0
    while not backend.finished():
        events = backend.step()
        with watchdog.turn:
            for event in events:
                recorder.take(event)
            if time.monotonic() >= next_look or interrupts.count:
                next_look = time.monotonic() + LOOK_PERIOD_S
                recorder.write_live("running", show)
        _kill_overdue(backend, recorder, spec.budget.trial_time)
        steering.turn(ending=reason is not None)
        if interrupts.count and reason is None:
            reason, message = "interrupt", "stopped by the user; running trials finished"
            backend.start_no_more()
        end = watchdog.cause or _end_now(recorder, interrupts, reason, fuse, time.monotonic() > deadline)
        if end is not None:
            return end
    return reason, message


def _end_now(
    recorder: Recorder, interrupts: Interrupts, reason: Reason | None, fuse: bool, late: bool
) -> tuple[Reason, str] | None:
    """Why the sweep must end without waiting for its running trials, if so."""
    if interrupts.terminated:
        return "terminate", TERMINATED
    if fuse and reason is None and (why := blown(recorder.failures, recorder.ended)):
        return "fuse", why
    if interrupts.count > 1:
        return "interrupt", "stopped immediately by the user; running trials were stopped"
    if late:
        waiting = " before the running trials had finished" if reason == "interrupt" else ""
        return "time", f"the time budget is used up{waiting}"
    return None


def _kill_overdue(backend: Backend, recorder: Recorder, limit_s: float | None) -> None:
    late = recorder.overdue(limit_s)
    for run in backend.running():
        if run.trial_id in late:
            backend.kill(run)
