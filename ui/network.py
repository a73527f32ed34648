"""A trial's network for the page: layers, what was seen of them, weights, report; each from a process of its own.

The processes are the package's own commands. The data, the task's code and torch stay out of the page, and so do
their memory and their faults.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import streamlit as st

from tune_app.errors import WorkFailed
from tune_app.store.study import Study

LIMIT_S = 120
Layers = list[dict[str, Any]]


def read_layers(study: Study, trial: int, ended_at: str) -> Layers:
    """The layers of a trial; `ended_at` tells it from one of a former study of the same name.

    Raises:
        WorkFailed: the network cannot be built.
    """
    return _printed("architecture", study.folder.url, study.name, trial, ended_at)


def read_statistics(study: Study, trial: int, ended_at: str) -> Layers:
    """What `tune_app.results.inspection` saw of the layers that hold matrices.

    Raises:
        WorkFailed: the network cannot be looked into, for one because the trial kept no checkpoint.
    """
    return _printed("inspection", study.folder.url, study.name, trial, ended_at)


def has_weights(study: Study, trial: int) -> bool:
    """Whether the trial kept a checkpoint."""
    return study.folder.exists(study.checkpoint(trial))


def read_weights(study: Study, trial: int) -> bytes:
    """The file of `tune_app.results.weights`.

    Raises:
        WorkFailed: the checkpoint was removed meanwhile, or cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "weights.pt")
        _run("tune_app.results.weights", study.folder.url, study.name, str(trial), str(path))
        return path.read_bytes()


@st.cache_data(max_entries=4, show_spinner=False)
def read_report(root: str, study: str, trial: int, ended_at: str) -> str:
    """The file of ``tune-app report``; `ended_at` as for `read_layers`.

    Raises:
        WorkFailed: the trial cannot be reported on.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "report.html")
        _run("tune_app", "report", study, "--trial", str(trial), "--store", root, "--output", str(path))
        return path.read_text(encoding="utf-8")


@st.cache_data(max_entries=64, show_spinner=False)
def _printed(module: str, root: str, study: str, trial: int, ended_at: str) -> Layers:
    found: Layers = json.loads(_run(f"tune_app.{module}", root, study, str(trial)))
    return found


def _run(module: str, *arguments: str) -> str:
    """What the command printed.

    Raises:
        WorkFailed: it ended with an error, said in its words; it took too long; or it died.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},  # the GPUs are the sweep's
        )
    except subprocess.TimeoutExpired as error:
        raise WorkFailed(f"the network must be read within {LIMIT_S} s, but it took longer") from error
    if done.returncode:
        try:
            told = json.loads(done.stdout)
            raise WorkFailed(told["message"], where=told["where"], hint=told["hint"])
        except ValueError:
            lines = done.stderr.strip().splitlines() or ["without a word"]
            begin = next((n for n, line in enumerate(lines) if line.startswith("error: ")), len(lines) - 1)
            told = " ".join(line.strip() for line in lines[begin : begin + 2]).removeprefix("error: ")
            raise WorkFailed(f"the process that reads the network ended with {done.returncode}: {told}") from None
    return done.stdout
