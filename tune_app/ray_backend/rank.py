"""One process's training of a trial: alone, or as one of several ranks."""

from __future__ import annotations

import os
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ray

from tune_app.credentials import drop_secrets, redacted
from tune_app.errors import TuneAppError
from tune_app.folder import LocalFolder, open_folder
from tune_app.import_path import put_last
from tune_app.process import collect_as_usual
from tune_app.ray_backend.data_sharing import shared_by
from tune_app.ray_backend.epoch_progress import EpochProgress
from tune_app.ray_backend.node_contents import told_with_place
from tune_app.ray_backend.preparation import prepared_data
from tune_app.spaces.catalog import Catalog
from tune_app.spaces.section import Objective
from tune_app.store.study import Study
from tune_app.store.trial_log import TrialLog
from tune_app.tasks import load_task, replica
from tune_app.tasks.given_function import give_function
from tune_app.tasks.optimization import import_for_optimizers
from tune_app.tasks.script_state import ScriptState
from tune_app.tasks.shared_data import share_with
from tune_app.training.device import cap_gpu_memory, pick_device
from tune_app.training.failure import describe_error, failure_kind
from tune_app.training.host_memory import keep_freed_memory
from tune_app.training.trial import EpochRow, Training


@dataclass(frozen=True)
class WorkerContext:
    """What all trials of a sweep share; put in the object store once.

    Attributes:
        task: name of the task, see `tune_app.tasks.load_task`.
        catalog: the search space's variables and metrics, for a function or a script.
        function: the function itself, if it cannot be imported.
        data: the data set without its test part, in the object store.
        preparation: the actor that prepares it, see `preparation.py`; None if the task prepares nothing.
        sharing: the actor that loads functions' shared data, see `data_sharing.py`; None for a class or a script.
        rungs: epochs at which the scheduler decides.
        store: root of the store, reachable from every node: checkpoints go there.
        study: name of the study.
        threads: CPU threads of torch per device of a trial.
        gpus: share of a GPU that each device of a trial gets; above 1, their number; 0 for none.
        devices: how many devices train one trial.
        limited: whether trainings have a time limit: then their start is reported.
        import_path: folder from which to import a user's own task, and in which to start a script.
        driver: address of the node that the sweep was started on.
    """

    task: str
    catalog: Catalog
    function: Callable[..., Any] | None
    data: ray.ObjectRef
    preparation: ray.actor.ActorHandle | None
    sharing: ray.actor.ActorHandle | None
    objective: Objective
    rungs: tuple[int, ...]
    store: str
    study: str
    threads: int
    gpus: float
    devices: int
    limited: bool
    import_path: str
    driver: str


class TrialFailed(Exception):
    """The failure of a trial, described where it was raised: tracebacks are not sent between processes."""

    def __init__(self, kind: str, error: str) -> None:
        super().__init__(kind, error)
        self.kind, self.error = kind, error

    @classmethod
    def of(cls, error: Exception) -> TrialFailed:
        """`error` in this form, or unchanged if it already is."""
        return error if isinstance(error, TrialFailed) else cls(failure_kind(error), describe_error(error))


class Rank:
    """Trains one trial after another, epoch by epoch, on request.

    Every method that runs the task's code raises `TrialFailed` and nothing else.
    """

    def __init__(self, shared: WorkerContext) -> None:
        collect_as_usual()
        keep_freed_memory()
        self._shared = shared
        if shared.sharing is not None:
            share_with(partial(shared_by, shared.sharing))
        self._folder = open_folder(shared.store)
        self._training: Training | None = None
        self._resumed_from: int | None = None
        self._log: TrialLog | None = None

    def open_store(self) -> tuple[str, int]:
        """Host and port at which the ranks find each other; called on the first one, before `join`."""
        host = ray.util.get_node_ip_address()
        self._store, port = replica.open_store(host)
        return host, port

    def join(self, address: tuple[str, int], rank: int) -> None:
        """Become rank number `rank` of the group; returns when all are connected."""
        with self._describing():
            store = self._store if rank == 0 else address
            replica.join(store, rank, self._shared.devices, self._device())

    def start(self, request: dict[str, Any]) -> list[EpochRow]:
        """Build the training of a trial, from the checkpoint of an earlier attempt if there is one; returns its epochs
        so far.

        `request` is that of `tune_app.ray_backend.worker.Worker`.
        """
        self.drop()
        shared = self._shared
        study = Study(self._folder, shared.study)
        if replica.leads():
            self._log = TrialLog(self._folder, study.log(request["trial"]))
        with self._describing():
            drop_secrets()
            put_last(shared.import_path)
            if shared.function is not None:
                give_function(shared.task, shared.function)
            cap_gpu_memory(shared.gpus)
            task, data = load_task(shared.task, shared.catalog), self._data(request["config"])
            self._progress = EpochProgress(shared.store, shared.study, request["trial"], request["attempt"])
            if shared.limited and replica.leads():
                if ":" in shared.task:
                    import_for_optimizers()
                self._progress(0.0)
            training = Training(
                task,
                request["config"],
                data,
                epochs=request["epochs"],
                seed=request["seed"],
                device=self._device(),
                threads=shared.threads,
            )
            self._resumed_from = None
            self._checkpoint = study.checkpoint(request["trial"])
            if isinstance(training.state, ScriptState) and self._log is not None:
                training.state.on_output = self._log.add
                if os.path.isdir(shared.import_path):  # otherwise this process started where its node has the code
                    training.state.working_folder = shared.import_path
            self._training = training  # before anything can fail, so that it is closed
            if request["attempt"] > 1:
                self._restore(training)
                self._resumed_from = training.epoch
        return training.history

    def _device(self) -> Any:
        return pick_device() if self._shared.gpus else "cpu"

    def _data(self, config: dict[str, Any]) -> Any:
        """The data set for this trial."""
        if self._shared.preparation is None:
            return ray.get(self._shared.data)
        return prepared_data(self._shared.preparation, config, self._shared.data)

    def _restore(self, training: Training) -> None:
        saved = self._folder.read(self._checkpoint)
        if saved is None:
            return
        with tempfile.TemporaryDirectory() as scratch:
            Path(scratch, "checkpoint.pt").write_bytes(saved)
            training.restore(Path(scratch, "checkpoint.pt"))

    @property
    def _begun(self) -> Training:
        assert self._training is not None
        return self._training

    def run_epoch(self) -> EpochRow | None:
        """Train one more epoch; returns its row, on the first rank."""
        with self._describing():
            if replica.leads():
                self._progress.epoch = self._begun.epoch + 1
                return self._begun.run_epoch(self._progress)
            self._begun.follow_epoch()
            return None

    def save(self) -> None:
        """Write the checkpoint where every node can find it."""
        with self._describing():
            if isinstance(self._folder, LocalFolder):
                self._begun.save(self._folder.root / self._checkpoint)
                return
            with tempfile.TemporaryDirectory() as scratch:
                self._begun.save(Path(scratch, "checkpoint.pt"))
                self._folder.write(self._checkpoint, Path(scratch, "checkpoint.pt").read_bytes())

    def facts(self) -> dict[str, Any]:
        """The facts in every report of the training; empty if it could not be built."""
        if self._training is None:
            return {}
        return {
            "epoch": self._training.epoch,
            "device": self._training.device_name,
            "resumed_from": self._resumed_from,
            "peak_memory_mb": self._training.peak_memory_mb,
            "gpu_utilization": self._training.gpu_utilization,
            "model_parameters": self._training.model_parameters,
        }

    def finish(self) -> dict[str, Any]:
        """The facts reported once, when the training is finished."""
        with self._describing():
            sample = self._begun.sample()
            return {
                "checkpoint": self._folder.path(self._checkpoint),
                "latency_ms": self._begun.latency_ms,
                "layers": [asdict(layer) for layer in self._begun.layers()],
                **({} if sample is None else {"sample": sample}),
            }

    def drop(self) -> None:
        """End the training and free its memory."""
        if self._training is not None:
            with self._hearing():
                self._training.close()
        self._training = None
        if self._log is not None:
            self._log.close()
        self._log = None

    @contextmanager
    def _describing(self) -> Iterator[None]:
        """Run the task's code: its output and tracebacks go to the trial's log, and its exceptions are described."""
        try:
            with self._hearing():
                yield
        except Exception as error:
            # Ray ends this process with its own `SystemExit`.
            if isinstance(error.__cause__, SystemExit) and hasattr(error.__cause__, "ray_terminate_msg"):
                raise error.__cause__ from None
            if self._log is not None and not isinstance(error, TuneAppError):  # our errors explain what is wrong
                told = redacted("".join(traceback.format_exception(error)))
                self._log.add(told.encode(errors="backslashreplace"))
            failed = TrialFailed.of(error)
            raise TrialFailed(
                failed.kind, told_with_place(failed.error, self._shared.driver, self._shared.import_path)
            ) from error

    def _hearing(self) -> AbstractContextManager[None]:
        return nullcontext() if self._log is None else self._log.hearing()
