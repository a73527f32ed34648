"""A full training of one configuration, without Ray: the command `train`."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tune_app import provenance
from tune_app.datasets.dataset import Dataset
from tune_app.errors import InputError, TuneAppError, WorkFailed
from tune_app.folder import Folder, LocalFolder, cannot_write
from tune_app.moment import now
from tune_app.profiles.profile import Profile
from tune_app.profiles.script_files import has_script_files, script_files
from tune_app.spaces.section import Resources
from tune_app.store.live_training import LiveTraining
from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.store.training_record import checkpoint_path, files_path, profile_path, record_path
from tune_app.tasks import load_data, load_task
from tune_app.tasks.catalogs import catalog_of
from tune_app.tasks.task import Finishing, Task
from tune_app.tasks.user_code import exits_as_errors
from tune_app.training.device import pick_device
from tune_app.training.failure import describe_error
from tune_app.training.host_memory import keep_freed_memory
from tune_app.training.trial import EpochRow, Training, prepared


@dataclass(frozen=True)
class Trained:
    """The result of a training.

    Attributes:
        folder: contains ``checkpoint.pt``, ``metrics.json`` and ``profile.yaml``.
        metrics: of the last epoch, its health as ``health/…``, and ``test_…`` on the test data if there is any; None if
            one is undefined.
        config: the configuration used by the training.
    """

    folder: str
    metrics: dict[str, float | None]
    config: dict[str, Any]
    epochs: int
    seed: int


def train(
    profile: Profile,
    store: Store,
    *,
    epochs: int,
    seed: int,
    name: str | None = None,
    threads: int | None = None,
    on_epoch: Callable[[EpochRow], None] = lambda row: None,
) -> Trained:
    """Train `profile` for `epochs` epochs; writes a checkpoint and metrics to ``<store>/trainings/<name>/``.

    For a script, its folder is also stored as ``files`` and its output as ``output.log``, even if it fails. During the
    training, ``live.json`` has its progress, see `tune_app.store.live_training`.

    Args:
        name: of the training; by default, the profile's name with the time.
        threads: CPU threads; the number affects the last digits of the results. None for torch's default.

    Raises:
        InputError: the data set or the task cannot be loaded, or the name is taken.
        WorkFailed: the training failed, the store cannot be written, or the trained model cannot be measured: then its
            checkpoint and its record exist, without the failed part.
    """
    name = _free_name(store.folder, name or f"{profile.name}-{now().replace(':', '').replace('+0000', '')}")
    keep_freed_memory()
    task = load_task(profile.task, profile.catalog)
    if not profile.catalog.open:
        profile = profile.for_catalog(catalog_of(task, profile.task))
    raw = load_data(task, profile.dataset)
    with ExitStack() as ending:
        with _said(profile.task, LiveTraining(store.folder, name, epochs)) as live:
            data = prepared(task, profile.config, raw)
            training = Training(
                task, profile.config, data, epochs=epochs, seed=seed, device=pick_device(), threads=threads
            )
            ending.enter_context(script_files(training, store.folder, name))
            ending.callback(training.close)
            rows = []
            while not training.finished:
                rows.append(training.run_epoch(live.progress))
                live.epoch_ended(rows[-1].epoch, rows[-1].metrics)
                on_epoch(rows[-1])
        # Immediately, so that the training is not lost if measuring it fails.
        _save(training, store.folder, checkpoint_path(name))
        measured = _measure(task, training, data)
    metrics = _figures(rows[-1]) | measured.metrics
    record = {
        **_record(profile, training, measured),
        "dataset_sha256": raw.sha256(),
        "threads": threads,
        "metrics": _finite(metrics),
        "code": provenance.code(),
    }
    store.folder.write(profile_path(name), profile.to_yaml().encode())
    store.folder.write(record_path(name), json.dumps(record, indent=2).encode())
    _check_measured(measured, profile.task, store.folder.path(checkpoint_path(name)))
    return Trained(store.folder.path(f"trainings/{name}"), metrics, training.config, epochs, seed)


def _record(profile: Profile, training: Training, measured: _Measured) -> dict[str, Any]:
    """The record: what was trained, how, and the results."""
    return {
        "task": profile.task,
        "dataset": profile.dataset,
        "config": training.config,
        "epochs": training.epochs,
        "seed": training.seed,
        "device": str(training.device),
        "model_parameters": training.model_parameters,
        "latency_ms": measured.latency_ms,
        "sample": measured.sample,
        "history": [{"epoch": r.epoch, "duration_s": r.duration_s, **_figures(r)} for r in training.history],
    }


def _free_name(folder: Folder, name: str) -> str:
    if folder.exists(record_path(name)):
        raise InputError(f"the training `{name}` exists in {folder.url}", hint="choose another --name")
    if has_script_files(folder, name):
        raise InputError(
            f"the training `{name}` failed, but its script left {folder.path(files_path(name))}",
            hint="choose another --name, or remove them",
        )
    return name


@contextmanager
def _said(task: str, live: LiveTraining) -> Iterator[LiveTraining]:
    """Describe an exception of a task during training; a failed training leaves nothing except its script's files."""
    try:
        yield live
    except TuneAppError:
        live.forget()
        raise
    except Exception as error:  # a task may raise anything
        live.forget()
        raise WorkFailed(
            f"the training failed: {describe_error(error)}", where=f"task {task}", hint="--debug shows more"
        ) from error


@dataclass(frozen=True)
class _Measured:
    """The measurements of a trained model, and the error if one failed."""

    metrics: dict[str, float | None]
    latency_ms: float | None = None
    sample: str | None = None
    failure: Exception | None = None


def _check_measured(measured: _Measured, task: str, checkpoint: str) -> None:
    if measured.failure is not None:
        raise WorkFailed(
            f"the model is trained and saved, but measuring it failed: {describe_error(measured.failure)}",
            where=f"task {task}",
            hint=f"the checkpoint is {checkpoint}; --debug shows more",
        ) from measured.failure


def _measure(task: Task, training: Training, data: Dataset) -> _Measured:
    metrics: dict[str, float | None] = {}
    try:
        with exits_as_errors():
            figures = _test_figures(task, training, data)
        metrics = {name: None if value is None else float(value) for name, value in figures.items()}
        return _Measured(metrics, training.latency_ms, training.sample())
    except Exception as error:  # a task may raise anything
        return _Measured(metrics, failure=error)


def _test_figures(task: Task, training: Training, data: Dataset) -> dict[str, float | None]:
    """The task's test metrics: a function uses its own data, a class the data set's test part."""
    if isinstance(task, Finishing):
        return dict(task.finish(training.state))
    if not any(len(array) for array in data.test.values()):
        return {}
    return {f"test_{name}": value for name, value in task.evaluate(training.state, data.test).items()}


def _save(training: Training, folder: Folder, name: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path = folder.root / name if isinstance(folder, LocalFolder) else Path(scratch, "checkpoint.pt")
        try:
            training.save(path)
        except OSError as error:
            raise cannot_write(path, error) from error
        if not isinstance(folder, LocalFolder):
            folder.write(name, path.read_bytes())


def _finite(metrics: Mapping[str, float | None]) -> dict[str, float | None]:
    """JSON does not support NaN, which a task may return for the test data."""
    return {name: value if value is None or math.isfinite(value) else None for name, value in metrics.items()}


def _figures(row: EpochRow) -> dict[str, float | None]:
    """Metrics and health of an epoch, the latter under their names in the store."""
    return {**row.metrics, **{f"health/{name}": value for name, value in row.health.items()}}


def study_threads(study: Study) -> int:
    """The number of CPU threads of the study's trials: the same number gives the same digits."""
    return Resources.model_validate(study.document()["resources"]).threads
