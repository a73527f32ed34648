"""A network's layers, statistics, weights and report, each from a short-lived separate process.

The data, the task's code and torch, with their memory and crashes, stay out of the calling process. The process runs
the command of `__main__.py`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tune_app.credentials import inherited_environment, keys_of, without_password
from tune_app.errors import WorkFailed
from tune_app.results.network.protocol import read_error

LIMIT_S = 120
"""Time limit of a process, including loading the data."""
Layers = list[dict[str, Any]]


def read_layers(store: str, name: str, trial: int | None = None) -> Layers:
    """The layers of a network, each as a mapping with the fields of `layer.Layer`.

    Args:
        store: root of the store; keys of an object store in it go to the process through its environment.
        name: of the study; of the training if there is no `trial`.

    Raises:
        NotFound: there is no such trial or training, or its task has no network.
        InputError: the task or its data cannot be loaded.
        WorkFailed: the network cannot be built.
    """
    found: Layers = _ask("layers", store, name, *([] if trial is None else [str(trial)]))
    return found


def read_statistics(store: str, study: str, trial: int) -> Layers:
    """Statistics of the layers with matrices, each as a mapping with the fields of `layer.LayerStatistics`.

    Raises:
        NotFound: as `read_layers`, or the trial kept no checkpoint.
        InputError, WorkFailed: as `read_layers`.
    """
    found: Layers = _ask("statistics", store, study, str(trial))
    return found


def read_weights(store: str, study: str, trial: int) -> bytes:
    """The file of `weights.write_weights`.

    Raises:
        NotFound: there is no such trial, or it has no checkpoint.
        WorkFailed: the checkpoint cannot be read.
    """
    return _file("weights", store, study, trial)


def read_report(store: str, study: str, trial: int) -> str:
    """The page of `tune_app.results.report.trial_report`.

    Raises:
        NotFound: no such trial has ended.
        InputError, WorkFailed: as `read_layers`.
    """
    return _file("report", store, study, trial).decode()


def _file(verb: str, store: str, study: str, trial: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, verb)
        _ask(verb, store, study, str(trial), str(path))
        return path.read_bytes()


def _ask(verb: str, store: str, *arguments: str) -> Any:
    """The output of the command.

    Raises:
        TuneAppError: its error; a `WorkFailed` if it took too long or died.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "tune_app.results.network", verb, without_password(store), *arguments],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            stdin=subprocess.DEVNULL,
            env={
                **inherited_environment(),
                **keys_of(store),
                "CUDA_VISIBLE_DEVICES": "",
            },  # leave the GPUs to the sweep
        )
    except subprocess.TimeoutExpired as error:
        raise WorkFailed(f"the network must be read within {LIMIT_S} s, but it took longer") from error
    try:
        answer = json.loads(done.stdout)
        told = read_error(answer) if done.returncode else None
    except (ValueError, LookupError, TypeError):
        lines = done.stderr.strip().splitlines() or ["without an error message"]
        last = f"the process that reads the network ended with {done.returncode}: {lines[-1].strip()}"
        raise WorkFailed(last) from None
    if told is not None:
        raise told
    return answer
