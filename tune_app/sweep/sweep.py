"""The sweep: one search space, many trials, on all the hardware there is."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import ray

from tune_app import provenance
from tune_app.datasets.dataset import Dataset
from tune_app.extras import missing
from tune_app.folder import LocalFolder
from tune_app.ray_backend import epoch_progress
from tune_app.ray_backend.controller import Request, SweepController, open_requests
from tune_app.ray_backend.preparation import start_preparation
from tune_app.ray_backend.rank import WorkerContext
from tune_app.ray_backend.slots import Slots
from tune_app.ray_backend.worker import Worker
from tune_app.search import schedule
from tune_app.search.optuna_journal import OptunaJournal
from tune_app.search.study_search import StudySearch, make_sampler
from tune_app.spaces import pruning
from tune_app.spaces.spec import Spec
from tune_app.spaces.strategy import grid_configs
from tune_app.spaces.variable import Config
from tune_app.store.store import History, Study, column_types
from tune_app.store.study_writer import StudyWriter
from tune_app.store.tensorboard_log import TensorBoardLog
from tune_app.sweep.fuse import blown
from tune_app.sweep.recorder import Recorder
from tune_app.tasks import load_task
from tune_app.tasks.task import Preparing
from tune_app.training.trial import derive_seed

LOOK_PERIOD_S = 0.05
"""How often the live state is made anew: a reader shall see a trial start within a quarter of a second."""

Show = Callable[[dict[str, Any]], None]


@dataclass
class Outcome:
    """How a sweep ended.

    Attributes:
        reason: why it ended before all trials were done: ``time``, ``interrupt``, ``fuse``; None where it did not.
        message: the reason in words.
        states: how many trials of the study are in which end state.
        best: row of the best completed trial; None where nothing completed.
    """

    reason: str | None
    message: str | None
    states: dict[str, int]
    best: dict[str, Any] | None


def run_sweep(
    spec: Spec,
    study: Study,
    data: Dataset,
    *,
    show: Show,
    start_with: Sequence[Config] = (),
    time_limit: float | None = None,
    fuse: bool = True,
    tensorboard: bool = True,
) -> Outcome:
    """Run the trials of `spec` that `study` does not have yet; Ray must be connected and the study locked.

    Args:
        data: the data set; its test part stays here.
        show: told the live state again and again.
        start_with: configurations for the first new trials, before the sampler is asked; the study keeps them, so
            that a resumed one needs none.
        time_limit: seconds after which this run ends.
        fuse: stop when trials keep failing, see `tune_app.sweep.fuse`.
        tensorboard: write what TensorBoard shows, where the store is a folder and tensorboardX is installed.

    Raises:
        InputError: no node can hold a trial.
        WorkFailed: the store could not be written.
    """
    history = study.history()
    objective = spec.objective
    records = [record for record in history.trials.values() if record.finished]
    seed = _sampler_seed(spec, len(records))
    sampler = make_sampler(spec.search.sampler, spec.space, seed, spec.budget.trials)
    search = StudySearch(spec.space, objective, sampler, seed)
    search.remember(records)
    scheduler = schedule.make_scheduler(spec.pruning, objective.direction, spec.budget.epochs)
    schedule.remember(scheduler, history.trials.values(), objective)
    requests = _requests(spec, history, start_with)
    resources = spec.resources
    slots = Slots(resources.cpus, float(resources.gpus), _concurrent(spec), resources.devices, len(requests))
    files = _writing(spec, study, history, data, start_with, tensorboard)
    with closing(slots), files as (writer, journal, board):
        recorder = Recorder(
            study,
            writer,
            history,
            journal,
            board,
            spec.space,
            objective,
            spec.budget.trials,
            float(spec.resources.gpus) * spec.resources.devices,
        )
        if requests:
            worker = make_worker(spec, study, data)
            controller = SweepController(
                worker,
                search,
                requests,
                scheduler,
                slots,
                recorder,
                epochs_of=lambda config: epochs_of(spec, config),
                name_of=lambda number: f"{spec.name}-{number:05d}",
            )
            reason, message = _drive(controller, recorder, writer, slots, spec, show, time_limit, fuse)
        else:
            reason, message = None, None
        epoch_progress.forget(study.name)
        live = recorder.live("ended", slots.count)
        writer.live(live)
        show(live)
        writer.sweep_ended(reason=reason, message=message)
    return Outcome(reason, message, dict(recorder.states), recorder.best)


def _drive(
    controller: SweepController,
    recorder: Recorder,
    writer: StudyWriter,
    slots: Slots,
    spec: Spec,
    show: Show,
    time_limit: float | None,
    fuse: bool,
) -> tuple[str | None, str | None]:
    """Step the controller until all trials ended or something ends the sweep early."""
    deadline = time.monotonic() + (time_limit or math.inf)
    reason = message = None
    next_look = 0.0
    with _interrupts() as interrupts:
        try:
            while not controller.is_finished():
                controller.step()
                if time.monotonic() >= next_look or interrupts.count:
                    next_look = time.monotonic() + LOOK_PERIOD_S
                    writer.check()
                    live = recorder.live("running", slots.count)
                    writer.live(live)
                    show(live)
                    late = recorder.overdue(spec.budget.trial_time)
                    for trial in controller.running():
                        if trial.trial_id in late:
                            controller.kill(trial)
                if fuse and reason is None and (message := blown(recorder.failures, recorder.ended)):
                    reason = "fuse"
                    break
                if interrupts.count and reason is None:
                    reason, message = "interrupt", "stopped by the user; running trials were finished"
                    controller.drop_waiting()
                if interrupts.count > 1 or time.monotonic() > deadline:
                    over = reason is None
                    reason = "time" if over else "interrupt"
                    message = "the time budget is used up" if over else "stopped by the user at once"
                    break
            if reason is not None:
                recorder.cancel(controller.running())
                controller.abandon()
        finally:
            controller.cleanup()
    return reason, message


def make_worker(spec: Spec, study: Study, data: Dataset) -> type[Worker]:
    """The worker class for this sweep: data set and settings are in the object store, once."""
    shared_data = ray.put(data.without_test())
    prepares = isinstance(load_task(spec.task), Preparing)
    context = WorkerContext(
        task=spec.task,
        data=shared_data,
        preparation=start_preparation(spec.task, os.getcwd()) if prepares else None,
        objective=spec.objective,
        rungs=pruning.rungs(spec.pruning, spec.budget.epochs)[0],
        store=study.folder.url,
        study=study.name,
        threads=max(1, math.floor(spec.resources.cpus)),
        gpus=float(spec.resources.gpus),
        devices=spec.resources.devices,
        import_path=os.getcwd(),
    )
    return type("Worker", (Worker,), {"context": ray.put(context), "__module__": Worker.__module__})


def epochs_of(spec: Spec, config: Config) -> int:
    """How many epochs `config` trains: its own variable where the task has one, else the budget's."""
    return int(config.get("epochs", spec.budget.epochs))


def spec_seed(spec: Spec) -> Callable[[int], int]:
    """Seeds of the trials by number."""
    return lambda number: derive_seed(spec.search.seed, number)


def _sampler_seed(spec: Spec, finished: int) -> int:
    # A resumed sampler must not propose again what it proposed at its start.
    return derive_seed(spec.search.seed + 1, finished) if finished else spec.search.seed


def _concurrent(spec: Spec) -> int | None:
    return None if spec.resources.concurrent == "auto" else int(spec.resources.concurrent)


def _requests(spec: Spec, history: History, start_with: Sequence[Config]) -> list[Request]:
    """The trials to run: those left open by an earlier run, then new ones.

    The first new ones have the configurations to start with, the task's defaults where none are given: they are what
    its author found good, so that every study has something to beat. A grid gives all trials theirs, and ends with its
    last one.
    """
    is_grid = spec.search.sampler == "grid"
    kept = [c for sweep in history.sweeps for c in sweep.get("start_with", [])]
    wanted = [*start_with] or kept or ([] if is_grid else [spec.space.nearest_to_defaults()])
    known = {_key(record.config) for record in history.trials.values()}
    first = [config for config in wanted if _key(config) not in known]
    known |= {_key(config) for config in first}
    grid = grid_configs(spec.space, spec.search.seed) if is_grid else iter(())
    left = itertools.chain(first, (config for config in grid if _key(config) not in known))
    requests = [
        Request(r.trial, r.seed, r.attempt, next(left, None)) if r.config is None else r
        for r in open_requests(history.trials, spec.budget.trials, spec_seed(spec))
    ]
    return [r for r in requests if r.config is not None] if is_grid else requests


def _key(config: Config) -> tuple[object, ...]:
    return tuple(config[name] for name in sorted(config))


@contextmanager
def _writing(
    spec: Spec, study: Study, history: History, data: Dataset, start_with: Sequence[Config], tensorboard: bool
) -> Iterator[tuple[StudyWriter, OptunaJournal | None, TensorBoardLog | None]]:
    """The study's files, open for writing: the space as run, where it comes from, events, tables, and what
    optuna-dashboard and TensorBoard show."""
    folder = study.folder
    folder.write(f"{study.base}/spec.yaml", spec.to_yaml().encode())
    facts = {
        "study": spec.name,
        "spec_sha256": spec.sha256(),
        "dataset_sha256": data.sha256(),
        "code": provenance.code(),
        "machine": provenance.machine(),
        "resources": ray.cluster_resources(),
    }
    if not history.last_event:
        folder.write(f"{study.base}/provenance.json", json.dumps(facts, indent=2).encode())
    journal = board = None
    if isinstance(folder, LocalFolder):
        path = folder.root / study.base
        journal = OptunaJournal(path / "optuna.journal", spec.name, spec.space, spec.objective)
        if tensorboard and not missing("tensorboard"):
            board = TensorBoardLog(path / "tensorboard", list(load_task(spec.task).metrics))
    with StudyWriter(study, history, column_types(spec.space.variables)) as writer:
        try:
            writer.sweep_started(
                trials=spec.budget.trials, spec_sha256=facts["spec_sha256"], start_with=list(start_with)
            )
            for record in history.trials.values():
                if record.finished and journal is not None:
                    journal.add(record)
            yield writer, journal, board
        finally:
            logs = [log for log in (journal, board) if log is not None]
            for log in logs:
                log.close()
    for log in logs:
        if log.error is not None:
            raise log.error


@dataclass
class _Interrupts:
    count: int = 0


@contextmanager
def _interrupts() -> Iterator[_Interrupts]:
    """Count Ctrl-C instead of raising; a request to terminate counts as two of them."""
    interrupts = _Interrupts()

    def on_signal(number: int, frame: object) -> None:
        interrupts.count += 1 if number == signal.SIGINT else 2

    former = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupts
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
