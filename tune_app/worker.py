"""The Ray actor that trains trials, one after another, in one process."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.tune import Trainable

from tune_app.errors import WorkFailed
from tune_app.folder import LocalFolder, open_folder
from tune_app.objective import objective_of, objectives_of
from tune_app.section import Objective
from tune_app.store import Study

REPORT_PERIOD_S = 0.5
"""Between rungs a trial reports this often: often enough to watch, rarely enough that the driver idles."""
CHECKPOINT_SHARE = 50
"""A checkpoint is written when training since the last one took this many times as long as writing it."""


@dataclass(frozen=True)
class WorkerContext:
    """What all trials of a sweep share; put into the object store once.

    Attributes:
        task: name of the task, see `tune_app.tasks.load_task`.
        data: the data set without its test part, itself in the object store.
        preparation: the actor that prepares it, see `tune_app.preparation`; None where the task prepares nothing.
        rungs: epochs at which the scheduler decides.
        store: root of the store, reachable from every node: checkpoints go there.
        study: name of the study.
        threads: CPU threads of torch per trial.
        gpus: share of a GPU that one trial gets; above 1, their number; 0 for none.
        import_path: folder from which a user's own task is imported.
    """

    task: str
    data: ray.ObjectRef
    preparation: ray.actor.ActorHandle | None
    objective: Objective
    rungs: tuple[int, ...]
    store: str
    study: str
    threads: int
    gpus: float
    import_path: str


class Worker(Trainable):
    """Trains the trial it was given up to the next decision of the scheduler, each time Tune asks for a step.

    A failure of the trial is a result, not an exception: the process stays and takes the next trial. `context` is
    set on a subclass, so that what travels per trial is its configuration only.
    """

    context: ray.ObjectRef

    def setup(self, config: dict[str, Any]) -> None:
        """Load the task and the data set once per process, then start the first trial."""
        self._shared: WorkerContext = ray.get(self.context)
        self._folder = open_folder(self._shared.store)
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Start another trial in the same process."""
        self._begin(new_config)
        return True

    def _setup_logdir(self) -> None:
        """Nothing: a trial leaves no folder of Tune's."""

    def _begin(self, request: dict[str, Any]) -> None:
        self._request = request
        self._training: Any = None
        self._since_checkpoint = 0.0
        self._checkpoint_cost = 0.0

    def _start(self) -> Any:
        """Build the training here and not in `setup`: what the user's class raises then is the trial's failure."""
        from tune_app.tasks import load_task
        from tune_app.trial import Training, cap_gpu_memory, pick_device

        shared = self._shared
        _prepare_imports(shared.import_path)
        device = pick_device() if shared.gpus else "cpu"
        cap_gpu_memory(shared.gpus)
        training = Training(
            load_task(shared.task),
            self._request["config"],
            self._data(),
            epochs=self._request["epochs"],
            seed=self._request["seed"],
            device=device,
            threads=shared.threads,
        )
        if self._request["attempt"] > 1:
            self._restore(training)
        return training

    def _data(self) -> Any:
        """The data set as this trial takes it."""
        if self._shared.preparation is None:
            return ray.get(self._shared.data)
        try:
            (prepared,) = ray.get(self._shared.preparation.get.remote(self._request["config"], [self._shared.data]))
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None  # what the task raised, without Ray's frames around it
        return ray.get(prepared)

    def _save(self) -> None:
        """Write the checkpoint where every node finds it."""
        if isinstance(self._folder, LocalFolder):
            self._training.save(self._folder.root / self._checkpoint_name)
            return
        with tempfile.TemporaryDirectory() as scratch:
            self._training.save(Path(scratch, "checkpoint.pt"))
            self._folder.write(self._checkpoint_name, Path(scratch, "checkpoint.pt").read_bytes())

    def _restore(self, training: Any) -> None:
        """Go on from the checkpoint of a former attempt, if it left one."""
        saved = self._folder.read(self._checkpoint_name)
        if saved is None:
            return
        with tempfile.TemporaryDirectory() as scratch:
            Path(scratch, "checkpoint.pt").write_bytes(saved)
            training.restore(Path(scratch, "checkpoint.pt"))

    @property
    def _checkpoint_name(self) -> str:
        return Study(self._folder, self._shared.study).checkpoint(self._request["trial"])

    def step(self) -> dict[str, Any]:
        """Train to the next rung, the end, or for `REPORT_PERIOD_S`; the epochs' rows travel together."""
        from tune_app.trial import describe_error, failure_kind

        rows: list[dict[str, Any]] = []
        try:
            if self._training is None:
                self._training = self._start()
                # The driver may have been lost before it learnt of what was trained up to the checkpoint.
                rows += [self._row(row) for row in self._training.history]
            training = self._training
            deadline = time.monotonic() + REPORT_PERIOD_S
            while not training.finished:
                rows.append(self._row(training.run_epoch()))
                self._since_checkpoint += training.history[-1].duration_s
                self._checkpoint()
                if training.epoch in self._shared.rungs or time.monotonic() > deadline:
                    break
            if training.finished:
                self._save()
            result = self._result(rows) | (self._final() if training.finished else {})
            if training.finished:
                _check_objectives(self._shared.objective, {**rows[-1], **result})
        except Exception as error:
            kind = failure_kind(error)
            result = self._result(rows)
            self._training = None
            return {**result, "done": True, "failure_kind": kind, "error": describe_error(error)}
        return result

    def _final(self) -> dict[str, Any]:
        """What is told of a training once, when it is finished."""
        sample = self._training.sample()
        return {
            "done": True,
            "finished": True,
            "checkpoint": self._folder.path(self._checkpoint_name),
            "latency_ms": self._training.latency_ms,
            **({} if sample is None else {"sample": sample}),
        }

    def _row(self, row: Any) -> dict[str, Any]:
        metrics = {f"metric/{name}": value for name, value in row.metrics.items()}
        health = {f"health/{name}": value for name, value in row.health.items()}
        return {
            "trial": self._request["trial"],
            "epoch": row.epoch,
            "ended_at": row.ended_at.isoformat(),
            "duration_s": row.duration_s,
            **metrics,
            **health,
        }

    def _checkpoint(self) -> None:
        if self._training.finished or self._since_checkpoint < max(1.0, CHECKPOINT_SHARE * self._checkpoint_cost):
            return
        began = time.monotonic()
        self._save()
        self._checkpoint_cost = time.monotonic() - began
        self._since_checkpoint = 0.0

    def _result(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        training = self._training
        result: dict[str, Any] = {
            "rows": rows,
            "attempt": self._request["attempt"],
            "finished": False,
            "done": False,
        }
        if training is not None:
            result.update(
                epoch=training.epoch,
                device=training.device_name,
                peak_memory_mb=training.peak_memory_mb,
                model_parameters=training.model_parameters,
            )
        if rows:
            value = objective_of(self._shared.objective, rows[-1])
            result.update({} if value is None else {"objective": value})
        return result

    def cleanup(self) -> None:
        """Let go of the training's memory."""
        self._training = None


def _check_objectives(objective: Objective, row: dict[str, Any]) -> None:
    """A finished trial without its figures cannot be compared: that is its failure, and says why."""
    if None in objectives_of(objective, row):
        raise WorkFailed(
            f"a finished trial must have what it is compared by, but with mode {objective.mode} one of its figures is "
            f"undefined: metric/{objective.metric} is {row.get(f'metric/{objective.metric}')}, health/overall is "
            f"{row.get('health/overall')}, latency_ms is {row.get('latency_ms')}"
        )


def _prepare_imports(path: str) -> None:
    if path not in sys.path:
        sys.path.insert(0, path)
