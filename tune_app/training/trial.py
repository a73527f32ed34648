"""One training, epoch by epoch: seeded, measured, saved and restored. Does not know Ray.

The same code runs in sweeps, in `train` and in tests: the caller decides when to stop and what to keep.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from tune_app.datasets.dataset import Dataset
from tune_app.errors import InputError, WorkFailed, one_line
from tune_app.spaces.catalog import Catalog
from tune_app.spaces.variable import Config
from tune_app.tasks.function_task import FunctionState
from tune_app.tasks.script_state import ScriptState
from tune_app.tasks.seeding import seed_everything
from tune_app.tasks.task import Preparing, Probed, Progress, RunningByItself, Sampling, Task
from tune_app.tasks.user_code import exits_as_errors
from tune_app.training.failure import Diverged, TaskError
from tune_app.training.gpu_use import GpuUse
from tune_app.training.health import Health, health
from tune_app.training.host_memory import peak_mb, restart_peak
from tune_app.training.layers import Layer, read_layers
from tune_app.training.reading import latency_ms, read_network

# cuBLAS is only deterministic with this, and reads it when CUDA starts (torch.use_deterministic_algorithms).
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

LEAST_FREE = 2**20
"""Bytes; if fewer are left on a disk and torch fails to write, the disk counts as full."""


@dataclass(frozen=True)
class EpochRow:
    """The result of one epoch.

    Attributes:
        epoch: number of the epoch, from 1.
        metrics: exactly the task's metrics; None if one is undefined.
        started_at: UTC.
        ended_at: UTC.
        duration_s: of training and validation, measured with a monotonic clock.
        health: the figures of `tune_app.training.health` after the epoch; None if unknown.
        health_s: the time to measure them, included in `ended_at` but not in `duration_s`.
    """

    epoch: int
    metrics: dict[str, float | None]
    started_at: datetime
    ended_at: datetime
    duration_s: float
    health: Health
    health_s: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        times = {"started_at": self.started_at.isoformat(), "ended_at": self.ended_at.isoformat()}
        durations = {"duration_s": self.duration_s, "health_s": self.health_s}
        return {"epoch": self.epoch, "metrics": self.metrics, **times, **durations, "health": self.health}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> EpochRow:
        """The inverse of `to_dict`."""
        times = {name: datetime.fromisoformat(saved[name]) for name in ("started_at", "ended_at")}
        return cls(**{**saved, **times})


def prepared(task: Task, config: Config, data: Dataset) -> Dataset:
    """The data set for a `Training` with `config`: `data` itself if the task prepares nothing."""
    with exits_as_errors():
        return task.prepare(config, data) if isinstance(task, Preparing) else data


class Training:
    """One configuration in training.

    An epoch only depends on the previous state, `seed` and its number, not on anything else in the process, so a
    restored training continues exactly as if it had never stopped. After each epoch, its health is measured, without
    affecting the next epoch. `data` is the result of `prepared`.

    Side effects: seeds the global generators of torch, numpy and random; sets torch's threads for the whole process if
    `threads` is given; resets the process's (or the GPU's) peak memory; on a GPU, makes torch choose deterministic
    kernels.

    Attributes:
        epoch: epochs done so far.
        history: the row of each of them, including those before a `restore`.
        state: created by the task; `network` is the model in it.
    """

    def __init__(
        self,
        task: Task,
        config: Config,
        data: Dataset,
        *,
        epochs: int,
        seed: int,
        device: str | torch.device = "cpu",
        threads: int | None = None,
    ) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self.task, self.config, self.epochs, self.seed = task, dict(config), epochs, seed
        self._probed = task if isinstance(task, Probed) else None  # cached, because it is slow
        self.device = torch.device(device)
        self.epoch = 0
        self.history: list[EpochRow] = []
        if self.device.type == "cuda":
            _use_deterministic_kernels()
        self._peak_is_ours = _restart_peak_memory(self.device)
        self._gpu_use = GpuUse(self.device)
        seed_everything(seed, 0)
        with exits_as_errors():
            self.state = task.start(self.config, data, epochs=epochs, seed=seed, device=self.device)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.epoch >= self.epochs

    @property
    def network(self) -> torch.nn.Module | None:
        """The model; None if it is not a torch module (such as scikit-learn's), or the task's state has none."""
        model = getattr(self.state, "model", None)
        return model if isinstance(model, torch.nn.Module) else None

    @property
    def _probe(self) -> Probed | None:
        """The task, if it has a probe; a function has one if its last report included it."""
        return None if isinstance(self.state, FunctionState) and not self.state.has_probe else self._probed

    @property
    def model_parameters(self) -> int | None:
        """Number of trainable values in the network, without uninitialized lazy modules; None without a network."""
        if (network := self.network) is None:
            return None
        return sum(p.numel() for p in network.parameters() if p.requires_grad and not is_lazy(p))

    @property
    def device_name(self) -> str:
        """The vendor's name of the GPU, or ``cpu``."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type

    @property
    def peak_memory_mb(self) -> float | None:
        """Peak memory so far, in MiB: on the GPU of this training's tensors, on the CPU of the whole process.

        For a script, that of its own process, wherever it trains. None if the system does not report it, such as on a
        CPU outside Linux.
        """
        if isinstance(self.state, ScriptState):
            return self.state.peak_memory_mb
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        return peak_mb() if self._peak_is_ours else None

    @property
    def gpu_utilization(self) -> float | None:
        """Percentage of the time of its epochs in which its GPU was busy, see `GpuUse`; None on a CPU."""
        return self._gpu_use.mean

    @exits_as_errors()
    def run_epoch(self, progress: Progress = lambda fraction: None) -> EpochRow:
        """Train and validate one more epoch.

        Raises:
            Diverged: a metric or a parameter is NaN or infinite.
            TaskError: the task did not return all of its metrics as numbers.
            ProbeError: the task's `probe_loss` did not return a loss.
        """
        assert not self.finished, f"all {self.epochs} epochs are done"
        epoch = self.epoch + 1
        started_at, start = datetime.now(UTC), time.perf_counter()
        with self._gpu_use.watching():
            returned = self._train_epoch(epoch, progress)
        duration_s = time.perf_counter() - start
        metrics = _checked_metrics(returned, list(self.task.metrics), epoch)
        if (network := self.network) is not None:
            _check_parameters(network, epoch)
        start = time.perf_counter()
        figures = self._measure_health(metrics)
        health_s = time.perf_counter() - start
        self.epoch = epoch
        self.history.append(EpochRow(epoch, metrics, started_at, datetime.now(UTC), duration_s, figures, health_s))
        return self.history[-1]

    @exits_as_errors()
    def follow_epoch(self) -> None:
        """Train one more epoch as a rank that does not lead, see `tune_app.tasks.replica`: nothing is measured."""
        assert not self.finished, f"all {self.epochs} epochs are done"
        self._train_epoch(self.epoch + 1, lambda fraction: None)
        self.epoch += 1

    def _train_epoch(self, epoch: int, progress: Progress) -> Mapping[str, float | None]:
        seed_everything(self.seed, epoch)
        return self.task.train_epoch(self.state, epoch, progress)

    def _measure_health(self, metrics: dict[str, float | None]) -> Health:
        probed, network, reading = self._probe, self.network, None
        if probed is not None and network is not None:
            reading = read_network(network, lambda: probed.probe_loss(self.state))
        return health(reading, [*(row.metrics for row in self.history), metrics], self.task.metrics)

    @cached_property
    @exits_as_errors()
    def latency_ms(self) -> float | None:
        """Minimum wall milliseconds of a forward pass per row of the probe, measured once, on first use.

        None for a task without a probe or a network.
        """
        probed, network = self._probe, self.network
        if probed is None or network is None:
            return None
        return latency_ms(network, lambda: probed.probe_loss(self.state))

    @exits_as_errors()
    def layers(self) -> list[Layer]:
        """The layers of the network, in the order in which they compute the probe; empty without a network."""
        probed, network = self._probe, self.network
        if network is None:
            return []
        return read_layers(network, None if probed is None else lambda: probed.probe_loss(self.state))

    @exits_as_errors()
    def sample(self) -> str | None:
        """A text generated by the model, the same for the same state; None if the task does not generate text.

        Raises:
            TaskError: it is not a string.
        """
        if not isinstance(self.task, Sampling):
            return None
        seed_everything(self.seed, self.epoch)
        text = self.task.sample(self.state)
        if not isinstance(text, str):
            raise TaskError(f"`sample` must return a string, but returned {text!r:.200}")
        return text

    @exits_as_errors()
    def save(self, path: str | Path) -> None:
        """Write a checkpoint to a temporary file, then move it into place, so that `path` is never incomplete.

        Raises:
            OSError: it cannot be written, for example because the disk is full.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        nothing = isinstance(self.state, RunningByItself) and not self.state.restorable
        state = None if nothing else self.state.state_dict()
        history = [row.to_dict() for row in self.history]
        try:
            torch.save({**self._identity(), "history": history, "state": state}, aside)
            os.replace(aside, path)
        except RuntimeError as error:
            # torch's error for a full disk; errors for objects that cannot be pickled have other types.
            if shutil.disk_usage(path.parent).free > LEAST_FREE:
                raise
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        finally:
            aside.unlink(missing_ok=True)

    @exits_as_errors()
    def restore(self, path: str | Path) -> None:
        """Continue from the checkpoint at `path`; start over if the state could not be saved.

        Raises:
            InputError: it has another task, configuration, seed or number of epochs.
            WorkFailed: it cannot be read.
        """
        try:
            # The GPU memory belongs to the script, which is another process.
            device = "cpu" if isinstance(self.state, ScriptState) else self.device
            saved = torch.load(path, map_location=device, weights_only=True)
        except Exception as error:  # for a damaged file, torch raises nearly anything
            raise WorkFailed(f"the checkpoint cannot be read: {one_line(error)}", where=str(path)) from error
        for key, mine in self._identity().items():
            if saved[key] != mine:
                raise InputError(
                    f"a checkpoint can only continue the same training, but its {key} differs: "
                    + _difference(saved[key], mine),
                    where=str(path),
                )
        if saved["state"] is None:
            return
        self.state.load_state_dict(saved["state"])
        self.history = [EpochRow.from_dict(row) for row in saved["history"]]
        self.epoch = len(self.history)

    def close(self) -> None:
        """End what the task may have started: a function and what it opened, a script and all its processes."""
        if isinstance(self.state, RunningByItself):
            self.state.close()

    def _identity(self) -> dict[str, Any]:
        task = f"{type(self.task).__module__}:{type(self.task).__qualname__}"
        catalog = getattr(self.task, "catalog", None)
        if isinstance(catalog, Catalog):  # for a function or a script, whose class says nothing
            task = " ".join(catalog.script.command) if catalog.script else catalog.task
        return {"task": task, "config": self.config, "seed": self.seed, "epochs": self.epochs}


def _use_deterministic_kernels() -> None:
    # Only warn if an operation has no deterministic kernel, so that a user's task still trains.
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Only matters for code that reads uninitialized memory; costs a kernel per tensor.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False


def _checked_metrics(returned: Mapping[str, float | None], names: list[str], epoch: int) -> dict[str, float | None]:
    if not isinstance(returned, Mapping):
        raise TaskError(f"`train_epoch` must return a mapping of metrics, but returned {returned!r:.200}")
    missing = [name for name in names if name not in returned]
    if missing:
        raise TaskError(
            f"`train_epoch` must return every metric of the task, but omitted {', '.join(missing)} in epoch {epoch}; "
            f"it returned {', '.join(map(str, returned)) or 'none'}"
        )
    metrics: dict[str, float | None] = {}
    for name in names:
        value = returned[name]
        try:
            if isinstance(value, (str, bytes)):
                raise TypeError("a text")
            metrics[name] = None if value is None else float(value)
        except (TypeError, ValueError, RuntimeError) as error:
            rule = f"a metric must be a number, but `{name}` is {returned[name]!r:.200} in epoch {epoch}"
            raise TaskError(rule) from error
    for name, value in metrics.items():
        if value is not None and not math.isfinite(value):
            raise Diverged(f"a metric must be finite, but `{name}` is {value} in epoch {epoch}")
    return metrics


def _check_parameters(model: torch.nn.Module, epoch: int) -> None:
    """A user's metrics may hide a NaN (an accuracy does), so check the weights once per epoch."""
    there = [(name, p.detach()) for name, p in model.named_parameters() if not is_lazy(p) and _can_be_infinite(p)]
    named = [(name, p) for name, p in ((name, _stored(p)) for name, p in there) if p.numel()]
    if not named:
        return
    first = named[0][1].device
    largest = torch.stack([torch.linalg.vector_norm(p, math.inf).to(first, torch.float64) for _, p in named])
    finite = largest.isfinite().tolist()
    if not all(finite):
        name = named[finite.index(False)][0]
        raise Diverged(f"parameters must be finite, but `{name}` has NaN or infinity after epoch {epoch}")


def _can_be_infinite(parameter: torch.Tensor) -> bool:
    return parameter.is_floating_point() or parameter.is_complex()


def _stored(parameter: torch.Tensor) -> torch.Tensor:
    """The values that a sparse tensor stores; other tensors as they are."""
    if parameter.layout == torch.strided:
        return parameter
    return (parameter.coalesce() if parameter.is_sparse else parameter).values()


def _difference(saved: object, mine: object) -> str:
    if not (isinstance(saved, dict) and isinstance(mine, dict)):
        return f"{saved} there, {mine} here"
    keys = [k for k in {**saved, **mine} if saved.get(k) != mine.get(k)]
    return "; ".join(f"{k} is {saved.get(k)} there, {mine.get(k)} here" for k in keys)


def _restart_peak_memory(device: torch.device) -> bool:
    """Start measuring; False if the process's peak so far cannot be reset, so that the measurement would be wrong."""
    if device.type == "cuda":
        torch.cuda.init()  # type: ignore[no-untyped-call]
        torch.cuda.reset_peak_memory_stats(device)
        return True
    return restart_peak()
