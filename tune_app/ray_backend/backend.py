"""Trains on a Ray cluster: `tune_app.sweep.backend.Backend` on Ray Tune's controller."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import ray
from ray import cloudpickle

from tune_app.ray_backend import epoch_progress
from tune_app.ray_backend.controller import SweepController, SweepTrial
from tune_app.ray_backend.data_sharing import hashes_of, start_sharing
from tune_app.ray_backend.events import EventQueue, run_of
from tune_app.ray_backend.node_contents import check_nodes
from tune_app.ray_backend.preparation import start_preparation
from tune_app.ray_backend.rank import WorkerContext
from tune_app.ray_backend.slots import Slots
from tune_app.ray_backend.worker import Worker
from tune_app.spaces import pruning
from tune_app.sweep.backend import Event, Plan, Run
from tune_app.sweep.requests import Request
from tune_app.tasks import load_task
from tune_app.tasks.given_function import given_function
from tune_app.tasks.task import Preparing


class RayBackend:
    """Trains on the Ray cluster that this process is connected to."""

    def __init__(self) -> None:
        self._plan: Plan | None = None
        self._slots: Slots | None = None
        self._controller: SweepController | None = None
        self._preparation: ray.actor.ActorHandle | None = None
        self._sharing: ray.actor.ActorHandle | None = None
        self._events = EventQueue()

    @property
    def slots(self) -> int:
        """How many trials the cluster can currently run at once."""
        return 0 if self._slots is None else self._slots.count

    def begin(self, plan: Plan) -> None:
        """See `tune_app.sweep.backend.Backend.begin`.

        Raises:
            InputError: no node is large enough for a trial, and no such node is starting; a node lacks a package or
                code.
            WorkFailed: a node does not report what it has.
        """
        check_nodes(plan.spec, os.getcwd())
        self._plan = plan
        self._slots = Slots(plan.spec.resources, len(plan.requests))

    def finished(self) -> bool:
        """Whether all trials have ended."""
        assert self._plan is not None
        return not self._plan.requests or (self._controller is not None and bool(self._controller.is_finished()))

    def step(self) -> Sequence[Event]:
        """Handle one event of the controller, which waits for it briefly."""
        self._controlled().step()
        return self._events.take()

    def running(self) -> Sequence[Run]:
        """The trials that a worker has."""
        return [run_of(trial) for trial in self._running()]

    def kill(self, run: Run) -> None:
        """End the process of a trial."""
        for trial in self._running():
            if trial.trial_id == run.trial_id:
                self._controlled().kill(trial)

    def stop(self, run: Run) -> None:
        """End a trial with its next report."""
        for trial in self._running():
            if trial.trial_id == run.trial_id:
                trial.stopped = True

    def waiting(self) -> Sequence[Request]:
        """The requests that the controller has not taken yet."""
        return self._controlled().waiting()

    def replace_waiting(self, requests: Sequence[Request]) -> None:
        """Make the controller start these instead."""
        self._controlled().replace_waiting(requests)

    def limit(self, concurrent: int | None) -> None:
        """Recount the slots, up to this many."""
        assert self._slots is not None
        self._slots.limit(concurrent)

    def start_no_more(self) -> None:
        """Let the running trials finish and start no others."""
        self._controlled().drop_waiting()

    def abandon(self) -> None:
        """End the processes of all running trials, without waiting for their epochs."""
        for trial in self._running():
            self._controlled().kill(trial)

    def progress(self, runs: Sequence[Run]) -> Mapping[int, tuple[int, float]]:
        """The workers' progress since their last reports."""
        assert self._plan is not None
        return epoch_progress.read(self._plan.study.folder.address, self._plan.study.name, runs)

    def resources(self) -> Mapping[str, float]:
        """The cluster's hardware."""
        return dict(ray.cluster_resources())

    def shared_data(self) -> Mapping[str, str | None]:
        """The hashes of what functions loaded with `report.shared`."""
        return {} if self._sharing is None else hashes_of(self._sharing)

    def close(self) -> None:
        """Stop the workers, and request no more nodes."""
        with ExitStack() as ending:  # each step, even if others fail
            if self._plan is not None:
                ending.callback(epoch_progress.forget, self._plan.study.folder.address, self._plan.study.name)
            if self._slots is not None:
                ending.callback(self._slots.close)
            for actor in (self._preparation, self._sharing):
                if actor is not None:
                    ending.callback(ray.kill, actor)
            if self._controller is not None:
                ending.callback(self._controller.cleanup)

    def _running(self) -> list[SweepTrial]:
        return [] if self._controller is None else self._controller.running()

    def _controlled(self) -> SweepController:
        """The controller; created for the first trial, because it puts the data in the object store."""
        if self._controller is None:
            plan, slots = self._plan, self._slots
            assert plan is not None
            assert slots is not None
            spec = plan.spec
            if isinstance(load_task(spec.task, spec.catalog), Preparing):
                self._preparation = start_preparation(spec.task, os.getcwd())
            if spec.catalog.open and spec.catalog.script is None:
                self._sharing = start_sharing(os.getcwd())
            self._controller = SweepController(
                make_worker(plan, self._preparation, self._sharing),
                plan.search,
                plan.requests,
                plan.scheduler,
                slots,
                self._events,
                epochs_of=plan.epochs_of,
                name_of=plan.name_of,
            )
        return self._controller


def make_worker(
    plan: Plan, preparation: ray.actor.ActorHandle | None, sharing: ray.actor.ActorHandle | None
) -> type[Worker]:
    """The worker class for a sweep; data set and settings are in the object store once."""
    spec = plan.spec
    function = given_function(spec.task)
    context = WorkerContext(
        task=spec.task,
        catalog=spec.catalog,
        function=function,
        data=ray.put(plan.data.without_test()),
        preparation=preparation,
        sharing=sharing,
        objective=spec.objective,
        rungs=pruning.rungs(spec.pruning, spec.budget.epochs)[0],
        store=plan.study.folder.address,
        study=plan.study.name,
        threads=spec.resources.threads,
        gpus=float(spec.resources.gpus),
        devices=spec.resources.devices,
        limited=spec.budget.trial_time is not None,
        import_path=os.getcwd(),
        driver=ray.util.get_node_ip_address(),
    )
    with _by_value(function):
        kept = ray.put(context)
    return type("Worker", (Worker,), {"context": kept, "__module__": Worker.__module__})


@contextmanager
def _by_value(function: Callable[..., Any] | None) -> Iterator[None]:
    """Pickle a given function with everything it uses from its module, which workers may not find."""
    module = None if function is None or function.__module__ == "__main__" else sys.modules.get(function.__module__)
    if module is None:
        yield
        return
    cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(module)
