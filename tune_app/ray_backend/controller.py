"""Ray Tune's own controller, driven by us: its event loop, actor reuse, searcher and scheduler, without its ballast.

`tune.Tuner` hides the controller; using it directly lets the sweep stop, refill and time out as it must, and leaves
out what costs a trial milliseconds and gives nothing here: placement groups per trial, look-ups of the trainable in
the cluster's key-value store, folders per trial, and snapshots (the study's event log is the restore point).
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
"""How often a trial whose process or node died is run again."""
SILENCE_S = 10.0
"""A worker that has reported nothing for so long is written to, so that a broken connection is found."""
SLOW_S = 10.0
"""Of what the controller does, Tune warns if it takes so long; by itself it does after half a second."""


class _Config(dict[str, Any]):
    """A worker's request, which Tune adds facts of its own to; they are as large as it, and are not sent."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _Config:
        return _Config(copy.deepcopy(dict(self), memo))

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, ({key: value for key, value in self.items() if not key.startswith("__")},)


class _Storage(StorageContext):
    """Tune's idea of where results go, which stays with the driver: sent to a worker it is None."""

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()

    def __copy__(self) -> _Storage:
        made = object.__new__(_Storage)
        made.__dict__.update(self.__dict__)
        return made


class SweepTrial(TuneTrial):
    """Tune's trial, with the worker class at hand and no folder of its own.

    Attributes:
        request: what the worker gets, see `Worker`; all that travels for a trial.
        out_of_memory: whether Ray ended its process because the node's memory ran out.
        stopped: whether a person wants it to end.
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
        """The worker class, without asking the cluster's registry."""
        return self._worker

    def should_stop(self, result: dict[str, Any]) -> bool:
        """Whether it ends with this report."""
        return self.stopped or bool(super().should_stop(result))

    def init_local_path(self) -> None:
        """Name the folder that Tune insists on; it is not made."""
        self.storage.trial_dir_name = self.trial_id

    def set_ray_actor(self, ray_actor: Any) -> None:
        """Keep the actor, without asking it for what every result tells anyway."""
        self.temporary_state.ray_actor = ray_actor

    def handle_error(self, exc: Exception | None = None) -> None:
        """Count the failure, whatever it was: a worker reports its trial's own failures as results."""
        self.run_metadata.num_failures += 1
        self.run_metadata.invalidate_cache()


class TrialQueue(SearchGenerator):
    """Gives Tune its next trial: those to be run again first, then given configurations, then the sampler's.

    One trial more than there are slots is asked for ahead, so that the sampler thinks while the slots are busy.
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
        """What was not given yet, in its order."""
        return list(reversed(self._requests))

    def replace_waiting(self, requests: Sequence[Request]) -> None:
        """Give these instead."""
        self._requests = list(reversed(requests))

    @property
    def left(self) -> int:
        """Trials that have not ended."""
        return len(self._requests) + self._open

    def is_finished(self) -> bool:
        """Whether no further trial will come."""
        return not self._requests

    def set_finished(self) -> None:
        """Give no further trial."""
        self._requests.clear()


class _ActorClasses:
    """Tune's cache of actor classes, without its runtime environment: the workers that Ray starts ahead can be used."""

    def __init__(self) -> None:
        self._cache: dict[type[Worker], Any] = {}

    def get(self, worker: type[Worker]) -> Any:
        if worker not in self._cache:
            self._cache[worker] = ray.remote(worker)
        return self._cache[worker]


def without_room(workers: Sequence[Any], started: Container[Any], slots: int) -> Sequence[Any]:
    """Of the `workers`, in the order in which they were asked for, those that Ray cannot start.

    Where a node was lost and its trials asked for new workers before the slots were counted again, there are more
    workers than slots: as many wait for ever for what others hold. These are the last ones of those that have not
    `started`. A former one may be nearly there on another node, and would have started for nothing.
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
        """Handle one event, on the cluster as it is now."""
        self._slots.refresh(self._queue.left)
        self._max_pending_trials = max(1, self._slots.count)
        self._probe_silent()
        with patch.object(warn_if_slow, "DEFAULT_THRESHOLD", SLOW_S):
            super().step()
        self._forget_ended()

    def _forget_ended(self) -> None:
        """Let go of the trials that ended. Tune keeps each, in 20 KiB, and looks through all of them at every step."""
        for states in (self._stopped_trials, self._failed_trials):
            for trial in [trial for trial in states if trial not in self._trial_to_actor]:
                states.remove(trial)
                self._trials.remove(trial)
                self._trials_to_cache.discard(trial)
        # What Tune asked of workers that it did not start after all, because another one was free.
        manager = self._actor_manager
        asked, starting = manager._pending_actors_to_enqueued_actor_tasks, manager._pending_actors_to_attrs
        for worker in [worker for worker in asked if worker not in starting]:
            del asked[worker]

    def _validate_result_metrics(self, result: dict[str, Any]) -> None:
        """Nothing: our worker checks the metrics itself and says more about it."""

    def _probe_silent(self) -> None:
        """Write to the workers that are silent; nobody waits for their answers.

        Where a link was cut for a while, the worker's side may have given the connection up. This side would wait for
        its report for minutes more; what it writes is refused at once, and the trial counts as lost and is run again.
        """
        if time.monotonic() < self._next_probe:
            return
        self._next_probe = time.monotonic() + SILENCE_S
        for trial in self._running_trials:
            actor = trial.temporary_state.ray_actor
            if actor is not None and time.time() - trial.run_metadata.last_result_time > SILENCE_S:
                actor.__ray_ready__.remote()

    def _maybe_add_actors(self) -> None:
        """Give idle workers to trials that wait for one, before Tune starts or stops any.

        Tune gives an idle worker to any pending trial, also to one whose own worker is just starting, and then ends
        that worker: with short trials the second slot would never come up.
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
        """Run a lost trial again, unless it was its own hunger for memory that ended it.

        A worker that dies while it takes another trial is told of twice, as itself and as what it was asked, which for
        Tune would be the end of a trial that had not even begun.
        """
        taking = trial in self._resetting_trials
        self._resetting_trials.discard(trial)
        if trial.status == TuneTrial.PENDING and isinstance(exception, (RayActorError, OutOfMemoryError)):
            if not taking:  # told of already: the trial waits for another worker
                return
            self._set_trial_status(trial, TuneTrial.RUNNING)  # as Tune does where a worker dies before it is there
        elif isinstance(exception, OutOfMemoryError) and not taking:
            trial.out_of_memory, trial.max_failures = True, 0
        super()._process_trial_failure(trial, exception)

    def running(self) -> list[SweepTrial]:
        """Trials that a worker has now."""
        return list(self._running_trials)

    def waiting(self) -> list[Request]:
        """The trials that were not asked for yet."""
        return self._queue.waiting()

    def replace_waiting(self, requests: Sequence[Request]) -> None:
        """Start these instead."""
        self._queue.replace_waiting(requests)

    def drop_waiting(self) -> None:
        """Start no further trial; one that was asked for and has not started is forgotten."""
        self._search_alg.set_finished()
        for trial in list(self._pending_trials):
            if trial not in self._resetting_trials and trial.run_metadata.num_failures == 0:
                self._schedule_trial_stop(trial)
                self._live_trials.discard(trial)

    def kill(self, trial: SweepTrial) -> None:
        """End the process of a trial that does not answer; it is not run again."""
        trial.max_failures = 0
        ray.kill(trial.temporary_state.ray_actor)

    def cleanup(self) -> None:
        """Stop the workers."""
        super().cleanup()
        shutil.rmtree(self._scratch, ignore_errors=True)
