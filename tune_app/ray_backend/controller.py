"""Ray Tune's own controller, driven by us: its event loop, actor reuse, searcher and scheduler, without overhead.

`tune.Tuner` hides the controller; using it directly lets the sweep stop, refill and time out as needed, and skips what
costs milliseconds per trial without any benefit here: placement groups per trial, lookups of the trainable in the
cluster's key-value store, folders per trial, and snapshots (the study's event log is the restore point).
`docs/structure.md` has the figures.
"""

from __future__ import annotations

import copy
import shutil
import tempfile
import time
from collections.abc import Callable, Container, Sequence
from typing import Any
from unittest.mock import patch

import ray
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.train._internal.storage import StorageContext
from ray.tune import Callback, CheckpointConfig
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import SearchGenerator
from ray.tune.utils.util import warn_if_slow

from tune_app.ray_backend.slots import Slots
from tune_app.ray_backend.worker import Worker
from tune_app.search.study_search import StudySearch
from tune_app.spaces.variable import Config
from tune_app.sweep.requests import Request

LOST_RETRIES = 3
"""How often a trial runs again if its process or node dies."""
SILENCE_S = 10.0
"""Ping a worker that has been silent for this long, to detect a broken connection."""
SLOW_S = 10.0
"""Tune warns if a step of the controller takes this long; its default is half a second."""


class _Config(dict[str, Any]):
    """A worker's request, without the facts that Tune adds to it, which would double its size."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _Config:
        return _Config(copy.deepcopy(dict(self), memo))

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, ({key: value for key, value in self.items() if not key.startswith("__")},)


class _Storage(StorageContext):
    """Tune's storage settings, which stay in the driver: a worker gets None."""

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()

    def __copy__(self) -> _Storage:
        made = object.__new__(_Storage)
        made.__dict__.update(self.__dict__)
        return made


class SweepTrial(TuneTrial):
    """Tune's trial, with a direct reference to the worker class and without a folder.

    Attributes:
        request: everything that is sent to the worker for a trial, see `Worker`.
        out_of_memory: whether Ray killed its process because the node ran out of memory.
        stopped: whether the user wants it to end.
    """

    def __init__(self, worker: type[Worker], request: dict[str, Any], **kwargs: Any) -> None:
        self._worker = worker
        self.out_of_memory = self.stopped = False
        super().__init__(
            "worker",
            config=_Config(request),
            max_failures=LOST_RETRIES,
            stub=True,
            _setup_default_resource=False,
            **kwargs,
        )

    @property
    def request(self) -> dict[str, Any]:
        """The worker's request: trial, config, epochs, seed, attempt, source."""
        return dict(self.config)

    def get_trainable_cls(self) -> type[Worker]:
        """The worker class, without a lookup in the cluster's registry."""
        return self._worker

    def should_stop(self, result: dict[str, Any]) -> bool:
        """Whether it ends with this report."""
        return self.stopped or bool(super().should_stop(result))

    def init_local_path(self) -> None:
        """Return the folder name that Tune insists on, without creating it."""
        self.storage.trial_dir_name = self.trial_id

    def set_ray_actor(self, ray_actor: Any) -> None:
        """Keep the actor, without asking it for facts that every result includes anyway."""
        self.temporary_state.ray_actor = ray_actor

    def handle_error(self, exc: Exception | None = None) -> None:
        """Count any failure: a worker reports its trial's own failures as results."""
        self.run_metadata.num_failures += 1
        self.run_metadata.invalidate_cache()


class TrialQueue(SearchGenerator):
    """Provides Tune's next trial: reruns first, then given configurations, then the sampler's.

    It stays one trial ahead of the slots, so that the sampler works while the slots are busy.
    """

    def __init__(
        self,
        search: StudySearch,
        requests: Sequence[Request],
        slots: Slots,
        make: Callable[[dict[str, Any]], SweepTrial],
        epochs_of: Callable[[Config], int],
        name_of: Callable[[int], str],
    ) -> None:
        super().__init__(search)
        self._search = search
        self._requests = list(reversed(requests))
        self._slots = slots
        self._make = make
        self._epochs_of = epochs_of
        self._name_of = name_of
        self._open = 0

    def next_trial(self) -> SweepTrial | None:
        """The next trial, or None while enough of them are open."""
        if not self._requests or self._open > self._slots.count:
            return None
        request = self._requests.pop()
        trial_id = self._name_of(request.trial)
        config = (
            self._search.suggest(trial_id) if request.config is None else self._search.adopt(trial_id, request.config)
        )
        self._open += 1
        return self._make(
            {
                "trial": request.trial,
                "config": config,
                "epochs": self._epochs_of(config),
                "seed": request.seed,
                "attempt": request.attempt,
                "source": request.source or self._search.source,
            }
        )

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Pass on to the searcher, and make room for the next trial."""
        self._open -= 1
        super().on_trial_complete(trial_id, result, error)

    def waiting(self) -> list[Request]:
        """The requests not handed out yet, in order."""
        return list(reversed(self._requests))

    def replace_waiting(self, requests: Sequence[Request]) -> None:
        """Return these instead."""
        self._requests = list(reversed(requests))

    @property
    def left(self) -> int:
        """Trials that have not ended."""
        return len(self._requests) + self._open

    def is_finished(self) -> bool:
        """Whether there will be no more trials."""
        return not self._requests

    def set_finished(self) -> None:
        """Return no more trials."""
        self._requests.clear()


class _ActorClasses:
    """Tune's cache of actor classes, without a runtime environment, so that Ray's prestarted workers can be used."""

    def __init__(self) -> None:
        self._cache: dict[type[Worker], Any] = {}

    def get(self, worker: type[Worker]) -> Any:
        if worker not in self._cache:
            self._cache[worker] = ray.remote(worker)
        return self._cache[worker]


def without_room(workers: Sequence[Any], started: Container[Any], slots: int) -> Sequence[Any]:
    """The last requested of the `workers` if Ray cannot start all of them, in the order of their requests.

    If a node was lost and its trials requested new workers before the slots were counted again, there are more workers
    than slots, and the surplus would wait forever for resources that others hold. These are the last requested ones
    that have not `started`: an earlier one may have nearly started on another node.
    """
    too_many = len(workers) - slots
    return [worker for worker in workers if worker not in started][-too_many:] if too_many > 0 else ()


class SweepController(TuneController):
    """Tune's controller for one sweep."""

    def __init__(
        self,
        worker: type[Worker],
        search: StudySearch,
        requests: Sequence[Request],
        scheduler: TrialScheduler,
        slots: Slots,
        callback: Callback,
        epochs_of: Callable[[Config], int],
        name_of: Callable[[int], str],
    ) -> None:
        self._scratch = tempfile.mkdtemp(prefix="tune-app-")
        storage = _Storage(storage_path=self._scratch, experiment_dir_name="sweep")

        def make(request: dict[str, Any]) -> SweepTrial:
            return SweepTrial(
                worker,
                request,
                trial_id=name_of(request["trial"]),
                storage=copy.copy(storage),
                placement_group_factory=slots.resources_per_trial,
            )

        self._slots = slots
        self._queue = TrialQueue(search, requests, slots, make, epochs_of, name_of)
        super().__init__(
            search_alg=self._queue,
            scheduler=scheduler,
            callbacks=[callback],
            metric=search.metric,
            reuse_actors=True,
            storage=storage,
            trial_checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
            resource_manager_factory=lambda: slots.resources,
        )
        self._print_trial_errors = False
        self._class_cache = _ActorClasses()
        self._next_probe = 0.0

    def step(self) -> None:
        """Handle one event, with the current cluster."""
        self._slots.refresh(self._queue.left)
        self._max_pending_trials = max(1, self._slots.count)
        self._probe_silent()
        with patch.object(warn_if_slow, "DEFAULT_THRESHOLD", SLOW_S):
            super().step()
        self._forget_ended()

    def _forget_ended(self) -> None:
        """Forget the ended trials. Tune keeps 20 KiB for each, and scans all of them at every step."""
        for states in (self._stopped_trials, self._failed_trials):
            for trial in [trial for trial in states if trial not in self._trial_to_actor]:
                states.remove(trial)
                self._trials.remove(trial)
                self._trials_to_cache.discard(trial)
        # Requests for workers that Tune did not start after all, because another one was free.
        manager = self._actor_manager
        asked, starting = manager._pending_actors_to_enqueued_actor_tasks, manager._pending_actors_to_attrs
        for worker in [worker for worker in asked if worker not in starting]:
            del asked[worker]

    def _validate_result_metrics(self, result: dict[str, Any]) -> None:
        """Nothing: our worker checks the metrics itself, with better messages."""

    def _probe_silent(self) -> None:
        """Ping silent workers without waiting for their responses.

        After a link was cut for a while, the worker's side may have closed the connection. This side would wait minutes
        more for its report, but a write fails immediately, so the trial counts as lost and runs again.
        """
        if time.monotonic() < self._next_probe:
            return
        self._next_probe = time.monotonic() + SILENCE_S
        for trial in self._running_trials:
            actor = trial.temporary_state.ray_actor
            if actor is not None and time.time() - trial.run_metadata.last_result_time > SILENCE_S:
                actor.__ray_ready__.remote()

    def _maybe_add_actors(self) -> None:
        """Assign idle workers to waiting trials, before Tune starts or stops any.

        Tune assigns an idle worker to any pending trial, even to one whose own worker is starting, and then ends that
        worker: with short trials, the second slot would never start.
        """
        waiting = [t for t in self._pending_trials if t not in self._resetting_trials and not self._is_starting(t)]
        for trial in sorted(waiting, key=lambda trial: trial.trial_id):
            if not self._maybe_reuse_cached_actor(trial):
                break
            self._resources_to_pending_trials[trial.placement_group_factory].discard(trial)
            if trial not in self._staged_trials:
                self._staged_trials.add(trial)
                self._actor_cache.increase_max(trial.placement_group_factory)
        super()._maybe_add_actors()

    def _maybe_reuse_cached_actor(self, trial: SweepTrial) -> bool:
        return not self._is_starting(trial) and bool(super()._maybe_reuse_cached_actor(trial))

    def _is_starting(self, trial: SweepTrial) -> bool:
        """Whether Ray is starting a worker for the trial, and has room for it."""
        worker = self._trial_to_actor.get(trial)
        if worker is None or not self._actor_manager.is_actor_started(worker):
            return False
        return worker not in without_room(self._actor_manager.live_actors, self._started_actors, self._slots.count)

    def checkpoint(self, force: bool = False, wait: bool = False) -> None:
        """Nothing: the event log is the restore point."""

    def _process_trial_failure(self, trial: SweepTrial, exception: Exception) -> None:
        """Run a lost trial again, unless it ran out of memory.

        If a worker dies while it accepts another trial, Tune reports the failure twice, for the worker and for the
        request, which would end a trial that had not even started.
        """
        taking = trial in self._resetting_trials
        self._resetting_trials.discard(trial)
        if trial.status == TuneTrial.PENDING and isinstance(exception, (RayActorError, OutOfMemoryError)):
            if not taking:  # already reported: the trial waits for another worker
                return
            self._set_trial_status(trial, TuneTrial.RUNNING)  # as Tune does if a worker dies before it is ready
        elif isinstance(exception, OutOfMemoryError) and not taking:
            trial.out_of_memory, trial.max_failures = True, 0
        super()._process_trial_failure(trial, exception)

    def running(self) -> list[SweepTrial]:
        """Trials currently on a worker."""
        return list(self._running_trials)

    def waiting(self) -> list[Request]:
        """The trials not requested yet."""
        return self._queue.waiting()

    def replace_waiting(self, requests: Sequence[Request]) -> None:
        """Start these instead."""
        self._queue.replace_waiting(requests)

    def drop_waiting(self) -> None:
        """Start no more trials; forget one that was requested but has not started."""
        self._search_alg.set_finished()
        for trial in list(self._pending_trials):
            if trial not in self._resetting_trials and trial.run_metadata.num_failures == 0:
                self._schedule_trial_stop(trial)
                self._live_trials.discard(trial)

    def kill(self, trial: SweepTrial) -> None:
        """End the process of a trial that does not respond; it does not run again."""
        trial.max_failures = 0
        ray.kill(trial.temporary_state.ray_actor)

    def cleanup(self) -> None:
        """Stop the workers."""
        super().cleanup()
        shutil.rmtree(self._scratch, ignore_errors=True)
