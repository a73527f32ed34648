"""A store for jobs, records that need no Ray, and one head on this machine for all tests that do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tune_app.jobs.job import Job
from tune_app.jobs.job_head import end_head
from tune_app.jobs.job_store import JobStore
from tune_app.jobs.jobs import Jobs
from tune_app.moment import now
from tune_app.store.store import Store

HERE = Path(__file__).parent
TASKS = HERE.parent / "ray_backend"
SPACE: dict[str, Any] = {
    "schema_version": 1,
    "name": "faulty",
    "task": "faulty:Faulty",
    "dataset": "none",
    "objective": {"metric": "score"},
    "budget": {"trials": 3, "epochs": 2},
    "search": {"sampler": "random"},
    "pruning": {"level": "off"},
    "resources": {"concurrent": 1},
    "parameters": {"training": {"level": {"type": "float", "low": 0.0, "high": 0.9}}},
}
MakeJob = Callable[..., Job]


def make_job(run: int = 1, **given: Any) -> Job:
    """A record as `Jobs.submit` makes it."""
    space = given.get("space", "digits")
    facts = {
        "id": f"{space}-{run}",
        "kind": "sweep",
        "space": space,
        "run": run,
        "study": f"{space}-{run}",
        "request": {"space": "", "profiles": {}, "preflight": True, "fuse": True},
        "requested_by": "someone@here",
        "requested_at": now(),
        "address": "http://127.0.0.1:1",
        "host": "elsewhere",
        "folder": str(HERE),
        "submission_id": f"{space}-{run}-abcd",
    }
    return Job(**{**facts, **given})


@pytest.fixture(scope="session")
def new_job() -> MakeJob:
    """See `make_job`."""
    return make_job


def training(name: str, task: str = "faulty:Faulty", epochs: int = 2, **config: Any) -> dict[str, Any]:
    """The extra facts in a training's record, with a profile for one of the project's tasks."""
    values = {"level": 0.5, "pace": 0.0, "fault": "none", **config}
    profile = {
        "schema_version": 1,
        "name": name,
        "task": task,
        "dataset": "none",
        "config": {"architecture": {"width": 8}, "training": values},
        "provenance": {},
    }
    request = {"profile": yaml.safe_dump(profile), "name": name, "epochs": epochs, "seed": 1}
    return {"kind": "training", "space": f"train-{name}", "study": None, "request": request}


@pytest.fixture(scope="session")
def new_training() -> Callable[..., dict[str, Any]]:
    """See `training`."""
    return training


@pytest.fixture
def records(tmp_path: Path) -> JobStore:
    """The jobs of an empty store."""
    return JobStore(Store(tmp_path / "results").folder)


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    """The same, with the part that talks to Ray."""
    return Jobs(Store(tmp_path / "results"))


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with a space and the tasks that it names."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(TASKS / "faulty.py", folder)
    shutil.copy(HERE / "deaf.py", folder)
    (folder / "space.yaml").write_text(yaml.safe_dump(SPACE))
    return folder


class Shell:
    """Runs `tune-app` in the project's folder, with one store for all runs."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.store = project / "results"
        self.jobs = Jobs(Store(self.store))

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tune_app", *arguments],
            cwd=self.project,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "TUNE_APP_STORE": str(self.store), "TUNE_APP_PROFILES": str(self.project / "profiles")},
        )

    def submit(self, *arguments: str) -> Job:
        """Submit a job; returns its record."""
        before = {job.id for job in self.jobs.records.all()}
        done = self("submit", *arguments)
        assert done.returncode == 0, done.stderr
        (new,) = [job for job in self.jobs.records.all() if job.id not in before]
        return new

    def until(self, holds: Callable[[], Any], seconds: float = 60) -> None:
        """Wait until `holds()` is true."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.1)


@pytest.fixture(scope="session")
def shell(project: Path) -> Iterator[Shell]:
    """Run the command; the head that the first job starts ends with the tests."""
    former = os.environ.get("RAY_JOB_STOP_WAIT_TIME_S")
    os.environ["RAY_JOB_STOP_WAIT_TIME_S"] = "1"  # the head inherits it
    found = Shell(project)
    yield found
    end_head(found.jobs.store.folder)
    if former is None:
        del os.environ["RAY_JOB_STOP_WAIT_TIME_S"]
