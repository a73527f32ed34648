"""Preflight: finds in seconds what would break a sweep, and forecasts its cost."""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tune_app.datasets.dataset import Dataset
from tune_app.errors import InputError
from tune_app.readable import counted, shown
from tune_app.spaces import pruning
from tune_app.spaces.feasibility import largest, sample, smallest
from tune_app.spaces.objective import objective_of, objectives_of
from tune_app.spaces.requirements import check_requirements
from tune_app.spaces.spec import Spec, epochs_of
from tune_app.spaces.strategy import grid_configs
from tune_app.spaces.variable import Config
from tune_app.tasks.shared_data import forget_shared
from tune_app.tasks.task import Paced, Task
from tune_app.training.device import gpu_count, gpu_memory_in_use, mps, pick_device
from tune_app.training.failure import describe_error, failure_kind
from tune_app.training.health import health, overall, told
from tune_app.training.host_memory import keep_freed_memory
from tune_app.training.trial import EpochRow, Training, prepared

TRIED_ROWS = 256
TRIED_CHARACTERS = 16384
"""How much of a text to try; its rows are characters."""
RANDOM_CONFIGS = 2
MEASURING_S = 60.0
"""Maximum time to train the largest configuration to measure its memory."""


@dataclass(frozen=True)
class Probe:
    """One configuration that was built and trained briefly.

    Attributes:
        label: ``smallest``, ``largest`` or ``random``.
        epoch_s: seconds that an epoch on all the data would take, from one on `TRIED_ROWS` rows; None if it failed.
        kind: failure kind; None if it did not fail.
        metrics: of the one epoch; None if it failed.
    """

    label: str
    config: Config
    model_parameters: int | None = None
    epoch_s: float | None = None
    kind: str | None = None
    error: str | None = None
    metrics: Mapping[str, float | None] | None = None


@dataclass(frozen=True)
class Forecast:
    """The expected cost of the sweep, from the probes.

    Attributes:
        epochs: epochs of all trials together, if the scheduler stops as many as it aims to.
        device_hours: hours of one device, epochs alone.
        devices: devices of each trial.
        slots: how many trials run at once; 0 if no node has started.
        notes: warnings and information for the user; the sweep can still run.
    """

    trials: int
    rungs: tuple[int, ...]
    epochs: float
    device_hours: float
    devices: int
    slots: int
    probes: tuple[Probe, ...]
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float | None:
        """Wall time on the slots; None without any.

        Assumes that a trial on several devices is that many times faster, which is an upper bound.
        """
        at_once = min(self.slots, self.trials) * self.devices
        return self.device_hours * 3600 / at_once if at_once else None

    def on(self, slots: int) -> Forecast:
        """The same sweep on another number of slots."""
        return replace(self, slots=slots)

    def to_dict(self) -> dict[str, Any]:
        """The forecast as plain values."""
        return {
            **self.__dict__,
            "seconds": self.seconds,
            "rungs": list(self.rungs),
            "probes": [p.__dict__ for p in self.probes],
            "notes": [*self.notes],
        }


def preflight(spec: Spec, task: Task, data: Dataset) -> Forecast:
    """Build and train the smallest, the largest and some random configurations on a few rows of the data.

    If they fail on those but not on all rows, as with a graph, whose rows refer to each other, all rows are used.

    A configuration that diverges or runs out of memory is the sampler's to avoid, unless all of them do; any other
    failure is the task's own.

    Raises:
        InputError: with the configuration and the error; this machine lacks a package.
    """
    check_requirements(spec.requirements)
    try:
        return _forecast(spec, task, data)
    finally:
        forget_shared()  # it is loaded again where the trials train


def _forecast(spec: Spec, task: Task, data: Dataset) -> Forecast:
    keep_freed_memory()  # as in the workers, so that an epoch takes as long as there
    part = _tried(data)
    probes = tuple(_probe(spec, task, part, data, label, config) for label, config in _configurations(spec))
    remarks = list(spec.space.remarks)
    if (failed := _failed(probes)) and part.rows < data.rows:
        cut = f"the first {part.rows:,} of {data.rows:,} rows"
        whole = _probe(spec, task, data, data, failed.label, failed.config)
        if whole.kind is not None:
            raise _untrainable(spec, failed, f"; tried on {cut}, then on all")
        part = data
        probes = tuple(
            whole if probe is failed else _probe(spec, task, data, data, probe.label, probe.config) for probe in probes
        )
        remarks.append(f"the preflight trained on all rows, because it fails on {cut}: {failed.error}")
        failed = _failed(probes)
    if failed:
        raise _untrainable(spec, failed)
    timed = [p for p in probes if p.epoch_s is not None]
    times = [p.epoch_s or 0.0 for p in [p for p in timed if p.label == "random"] or timed]
    trials = _trials(spec)
    epochs = trials * pruning.expected_epochs(spec.pruning, spec.budget.epochs)
    return Forecast(
        trials=trials,
        rungs=pruning.rungs(spec.pruning, spec.budget.epochs)[0],
        epochs=epochs,
        device_hours=epochs * sum(times) / len(times) / 3600,
        devices=spec.resources.devices,
        slots=_slots(spec),
        probes=probes,
        notes=(*remarks, *_notes(spec, task, part, data, probes[0]), *_sharing(spec), *_utilization(spec)),
    )


def _failed(probes: Sequence[Probe]) -> Probe | None:
    """The first one whose failure is the task's own, or any if all fail."""
    own = next((probe for probe in probes if probe.kind == "error"), None)
    return own or (probes[0] if all(probe.kind for probe in probes) else None)


def _trials(spec: Spec) -> int:
    """How many trials there will be: a grid ends with its last combination."""
    if spec.search.sampler != "grid":
        return spec.budget.trials
    return sum(1 for _ in itertools.islice(grid_configs(spec.space, spec.search.seed), spec.budget.trials))


def _slots(spec: Spec) -> int:
    """How many trials this machine trains at once; without a GPU they train on its CPUs."""
    resources, gpus = spec.resources, gpu_count()
    if not gpus:
        resources = resources.model_copy(update={"gpus": 0.0})
    fitting = resources.devices_on(os.cpu_count() or 1, gpus) // resources.devices
    return max(1, min(fitting, resources.most or fitting))


def _notes(spec: Spec, task: Task, part: Dataset, data: Dataset, probe: Probe) -> list[str]:
    """Remarks on `data`, and on a second training of the first `probe` from the same seed."""
    notes = [str(note) for note in data.info.get("notes", ())]
    if probe.metrics is None:
        return notes
    if spec.resources.gpus and pick_device().type != "cpu":  # some GPU operations have no deterministic kernel
        spec = spec.with_gpus(0.0)
        probe = _probe(spec, task, part, data, probe.label, probe.config)
    again = _probe(spec, task, part, data, probe.label, probe.config)
    once, twice = probe.metrics or {}, again.metrics or {}
    differing = [name for name in once if name in twice and once[name] != twice[name]]
    if differing:
        name = differing[0]
        values = f"{shown(once[name], 'none')} and {shown(twice[name], 'none')}"
        notes.append(
            f"`{name}` differs between two trainings of the same configuration and seed, {values}: seed all your "
            f"own generators from the trial's seed ({_seed_of(spec)})"
        )
    return notes


def _sharing(spec: Spec) -> list[str]:
    """Whether trials that share a GPU of this machine compute at the same time."""
    share = spec.resources.gpus
    if not gpu_count() or not (share == "auto" or 0 < share < 1):
        return []
    return {
        "runs": ["MPS is running on this machine: trials that share a GPU compute at the same time"],
        "offered": [
            "MPS is not running on this machine: trials that share a GPU take turns; to let them compute at the same "
            "time, run `nvidia-cuda-mps-control -d` before Ray starts"
        ],
        "absent": ["trials that share a GPU take turns: this machine has no nvidia-cuda-mps-control"],
    }[mps()]


def _utilization(spec: Spec) -> list[str]:
    """What is missing on a machine with a GPU to measure how busy it is."""
    if not gpu_count() or not spec.resources.gpus or find_spec("pynvml") is not None:
        return []
    return ["how busy the GPU is will be unknown: nvidia-ml-py is not installed; install tune-app[gpu]"]


def _seed_of(spec: Spec) -> str:
    """Where the user's own task finds the trial's seed."""
    if spec.catalog.script is None:
        return "`seed` of `start`, `report.seed`"
    return "`seed: --seed={seed}` in the search space" if not spec.catalog.script.seed else "the argument `seed`"


def _untrainable(spec: Spec, probe: Probe, cut: str = "") -> InputError:
    return InputError(
        f"the {probe.label} configuration cannot be trained ({probe.kind}): {probe.error}{cut}",
        where=f"task {spec.task}",
        hint="configuration: " + ", ".join(f"{name}={value}" for name, value in probe.config.items()),
    )


def _configurations(spec: Spec) -> Iterator[tuple[str, Config]]:
    yield "smallest", smallest(spec.space)
    yield "largest", largest(spec.space)
    rng = np.random.default_rng(spec.search.seed)
    for _ in range(RANDOM_CONFIGS):
        yield "random", sample(spec.space, rng)


def _tried(data: Dataset) -> Dataset:
    """The part of the data for the brief trainings."""
    return data.head(TRIED_CHARACTERS if data.kind == "text" else TRIED_ROWS)


def _probe(spec: Spec, task: Task, part: Dataset, data: Dataset, label: str, config: Config) -> Probe:
    """One epoch on `part` of the data."""
    try:
        training = _begun(spec, task, config, part)
        with closing(training):
            row: EpochRow = training.run_epoch()
            _check_comparable(spec, training, row)
            with tempfile.TemporaryDirectory() as folder:
                training.save(Path(folder, "checkpoint.pt"))
                training.restore(Path(folder, "checkpoint.pt"))
    except Exception as error:
        return Probe(label, config, kind=failure_kind(error), error=describe_error(error))
    epoch_s = row.duration_s / _share(task, config, part, data)
    return Probe(label, config, training.model_parameters, epoch_s, metrics=row.metrics)


def _check_comparable(spec: Spec, training: Training, row: EpochRow) -> None:
    """Reject an objective with a part that a finished trial would lack: the training would be wasted."""
    objective, metrics = spec.objective, row.metrics
    if metrics[objective.metric] is None:
        raise InputError(f"the metric `{objective.metric}` is undefined for this data set")
    # Scores from the history need some epochs: use as many as there will be, with any values.
    later = health(None, [metrics] * spec.budget.epochs, training.task.metrics)
    there = {name: value for name, value in row.health.items() if value is not None}
    expected = {
        f"metric/{objective.metric}": metrics[objective.metric],
        "health/overall": overall({**later, **there}),
        "latency_ms": training.latency_ms if objective.against == "latency" else None,
        "model_parameters": training.model_parameters,
    }
    if None in (objective_of(objective, expected), *objectives_of(objective, expected)):
        against = f" against {objective.against}" if objective.mode == "pareto" else ""
        epochs = counted(spec.budget.epochs, "epoch")
        raise InputError(
            f"the objective {objective.mode}{against} needs a number that no trial of {epochs} has: "
            "latency needs the task's `probe_loss`, size needs a torch model, health has "
            f"{told({**later, **there})} and needs three: more epochs or losses give more"
        )


def _begun(spec: Spec, task: Task, config: Config, data: Dataset) -> Training:
    return Training(
        task,
        config,
        prepared(task, config, data),
        epochs=epochs_of(config, spec.budget.epochs),
        seed=spec.search.seed,
        device=pick_device() if spec.resources.gpus else "cpu",
        threads=spec.resources.threads,
    )


@dataclass(frozen=True)
class GpuMemory:
    """GPU memory of one trial, in bytes.

    Attributes:
        used: peak, including what torch and CUDA themselves need.
        total: the memory of the GPU.
    """

    used: int
    total: int


class _MeasuredEnough(Exception):
    """The configuration trained for `MEASURING_S`."""


def gpu_memory(spec: Spec, task: Task, data: Dataset) -> GpuMemory | None:
    """GPU memory of the largest configuration in this process, from its first epoch on all the data.

    Nothing else may use the GPU meanwhile, because it would be counted too. All of the GPU if that was not enough; None
    if torch sees no GPU.

    Raises:
        InputError: the configuration cannot be trained.
    """
    if gpu_memory_in_use() is None:
        return None
    config, deadline = largest(spec.space), time.monotonic() + MEASURING_S

    def progress(fraction: float) -> None:
        if time.monotonic() > deadline:
            raise _MeasuredEnough

    kind = None
    try:
        with closing(_begun(spec, task, config, data.without_test())) as training:
            training.run_epoch(progress)
    except _MeasuredEnough:
        pass
    except Exception as error:
        kind = failure_kind(error)
        if kind == "error":
            raise _untrainable(spec, Probe("largest", config, kind=kind, error=describe_error(error))) from error
    memory = gpu_memory_in_use()
    assert memory is not None
    used, total = memory
    return GpuMemory(total if kind == "oom" else used, total)


def _share(task: Task, config: Config, part: Dataset, data: Dataset) -> float:
    """How much of an epoch on `data` an epoch on `part` is."""
    if not data.rows:  # a task may have its own data
        return 1.0
    if isinstance(task, Paced):
        return task.rows_per_epoch(config, part.rows) / task.rows_per_epoch(config, data.rows)
    return part.rows / data.rows
