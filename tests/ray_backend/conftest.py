"""Sweeps in this process, on the tests' Ray node, and the command in a separate process."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import ray
import threadpoolctl  # noqa: F401  # sets KMP_DUPLICATE_LIB_OK here rather than in the first sweep
import yaml

from tune_app.document import Document
from tune_app.ray_backend.backend import RayBackend
from tune_app.search.history import find_history
from tune_app.search.past_study import PastPreference
from tune_app.spaces.variable import Config
from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.sweep.sweep import Outcome, run_sweep
from tune_app.tasks import load_task
from tune_app.tasks.spec_file import read_spec

HERE = Path(__file__).parent
SPACE: dict[str, Any] = {
    "schema_version": 1,
    "name": "faulty",
    "task": "faulty:Faulty",
    "dataset": "none",
    "objective": {"metric": "score"},
    "budget": {"trials": 8, "epochs": 6},
    "search": {"sampler": "random"},
    "pruning": {"level": "off"},
    "resources": {"concurrent": 1},  # each worker takes seconds to start
    "parameters": {"training": {"level": {"type": "float", "low": 0.0, "high": 0.9}}},
}


@pytest.fixture(scope="session")
def connected(node: str) -> Iterator[str]:
    """Connect this process to the node as a driver."""
    ray.init(address=node, log_to_driver=False, logging_level="ERROR")
    yield node
    ray.shutdown()


@dataclass
class Swept:
    """A sweep that ended."""

    study: Study
    outcome: Outcome

    @property
    def trials(self) -> pd.DataFrame:
        """One row per trial, by number."""
        return pd.read_parquet(self.study.trials_path).set_index("trial", drop=False).sort_index()

    @property
    def epochs(self) -> pd.DataFrame:
        """One row per trial and epoch."""
        return pd.read_parquet(self.study.epochs_path)


def space(**sections: Any) -> dict[str, Any]:
    """This folder's search space with other sections."""
    return copy.deepcopy({**SPACE, **sections})


def sweep(
    store: Path,
    document: dict[str, Any],
    configs: Sequence[dict[str, Any]] = (),
    fuse: bool = False,
    show: Callable[[dict[str, Any]], None] = lambda live: None,
) -> Swept:
    """Run a sweep in this process; `configs` override the defaults in the first trials.

    It starts with the past studies that `search.history` names or finds.
    """
    before, environment = Path.cwd(), dict(os.environ)
    os.chdir(HERE)
    try:
        spec = read_spec(Document.of(document, "test"))
        task = load_task(spec.task, spec.catalog)
        study = Study(Store(store).folder, spec.name)
        starts: list[Config] = [{**spec.space.complete({}), **config} for config in configs]
        with study.writing():
            outcome = run_sweep(
                spec,
                study,
                task.load_data(spec.dataset),
                RayBackend(),
                show=show,
                start_with=starts,
                past=[PastPreference.fit(one, spec.space) for one in find_history(spec, study.folder).studies],
                time_limit=spec.budget.time,
                fuse=fuse,
            )
    finally:
        os.chdir(before)
    assert dict(os.environ) == environment
    return Swept(study, outcome)


@pytest.fixture(scope="session")
def run_space() -> Callable[..., Swept]:
    """See `sweep`."""
    return sweep


@pytest.fixture(scope="session")
def make_space() -> Callable[..., dict[str, Any]]:
    """See `space`."""
    return space


@pytest.fixture
def command(node: str, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start ``tune-app`` in a separate process, in this folder with its tasks, on the tests' node."""

    def start(
        *arguments: str, address: str | None = node, cwd: Path = HERE, store: Path = tmp_path / "results"
    ) -> subprocess.Popen[str]:
        given = [*arguments, "--store", str(store)]
        if arguments[0] in ("run", "resume"):
            given += ["--address", address] if address else []
        if arguments[0] == "run":
            given += ["--profiles", str(tmp_path / "profiles")]
        process = subprocess.Popen(
            [sys.executable, "-m", "tune_app", *given],
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    started: list[subprocess.Popen[str]] = []
    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        if process.stdout and not process.stdout.closed:
            process.communicate()


@pytest.fixture
def space_file(tmp_path: Path) -> Callable[..., str]:
    """Write this folder's search space with other sections; returns its path."""

    def write(**sections: Any) -> str:
        path = tmp_path / "space.yaml"
        path.write_text(yaml.safe_dump(space(**sections)))
        return str(path)

    return write
