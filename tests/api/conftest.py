"""A store with jobs in every state, and real servers for it, in threads on free loopback ports."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
import yaml

from tune_app.api.app import make_app
from tune_app.api.listening import bind, make_config
from tune_app.api.settings import Settings
from tune_app.jobs.job import Job
from tune_app.jobs.job_store import JobStore
from tune_app.moment import now
from tune_app.profiles.profile import from_trial
from tune_app.profiles.profiles import Profiles
from tune_app.results.review import trial_row
from tune_app.store.store import Store
from tune_app.training.trial import Training

REPOSITORY = Path(__file__).parents[2]
NOWHERE = "http://127.0.0.1:1"
"""The address of a job server that does not answer."""
Serve = Callable[..., Any]


@dataclass
class Place:
    """The folders that a server uses."""

    root: Path

    @property
    def settings(self) -> Settings:
        return Settings(
            store=str(self.root / "results"),
            profiles=str(self.root / "profiles"),
            search_spaces=str(self.root / "search_spaces"),
            address=NOWHERE,
        )

    @property
    def store(self) -> Store:
        return Store(self.settings.store)

    @property
    def records(self) -> JobStore:
        return JobStore(self.store.folder)

    @property
    def profiles(self) -> Profiles:
        return Profiles(self.settings.profiles)

    def add_job(self, space: str, state: str, **given: Any) -> Job:
        """Add a job for this space in this state, as if the server had made it."""

        def make(run: int) -> Job:
            facts = {
                "id": f"{space}-{run}",
                "kind": "sweep",
                "space": space,
                "run": run,
                "study": f"{space}-{run}",
                "request": {"space": "", "profiles": {}, "preflight": True, "fuse": True},
                "requested_by": "someone@here",
                "requested_at": now(),
                "address": NOWHERE,
                "host": "elsewhere",
                "folder": str(self.root),
                "submission_id": f"{space}-{run}-abcd",
            }
            return Job(**{**facts, **given})

        job = self.records.create(space, make)
        self.records.submitted(job.id)
        if state != "QUEUED":
            self.records.change(job.id, lambda found: found.moved("RUNNING"))
            self.records.beat(job.id)
        if state not in ("QUEUED", "RUNNING"):
            reason = None if state == "SUCCEEDED" else "error"
            self.records.end(
                job.id, state, reason=reason, message=reason and "it broke", code=0 if reason is None else 1
            )
        self.records.add_to_log(job.id, f"{job.id} speaks\nsecond line\n".encode())
        return self.records.get(job.id)


@pytest.fixture(scope="session")
def whole_place(tmp_path_factory: pytest.TempPathFactory, make_study: Any, make_spec: Any) -> Place:
    """See `_make_place`; only copied, never served."""
    return _make_place(tmp_path_factory.mktemp("whole"), make_study, make_spec)


@pytest.fixture(scope="session")
def make_place(whole_place: Place) -> Callable[[Path], Place]:
    """Copies `whole_place` into a folder."""

    def copy(root: Path) -> Place:
        shutil.copytree(whole_place.root, root, dirs_exist_ok=True)
        for path in (root / "results" / "jobs").rglob("*.json"):  # a record names the folder it was submitted from
            path.write_text(path.read_text().replace(str(whole_place.root), str(root)))
        Place(root).records.beat("running-1")
        return Place(root)

    return copy


def _make_place(root: Path, make_study: Any, make_spec: Any) -> Place:
    """A finished study, one whose trials all failed, and a running one, with their jobs; a profile; a search space."""
    place = Place(root)
    for name in ("ended-1", "failed-1", "running-1"):
        spec = replace(make_spec(), name=name)
        ends = (
            ("FAILED", "FAILED") if name == "failed-1" else ("COMPLETED", "PRUNED", "COMPLETED", "FAILED", "COMPLETED")
        )
        study = make_study(root / "results", spec, ends=ends)
        counts = {state: ends.count(state) for state in ends}
        best = {"trial": 0, "objective": 0.9} if "COMPLETED" in ends else None
        live = {"state": "ended", "total": len(ends), "trials": counts, "best": best, "left_s": None}
        study.folder.write(f"{study.base}/live.json", json.dumps(live).encode())
    place.add_job("ended", "SUCCEEDED")
    place.add_job("failed", "FAILED")
    place.add_job("running", "RUNNING")
    study = place.store.study("ended-1")
    place.profiles.save(from_trial(study, trial_row(study, None), "mine"), loaded_revision=0)
    _start_trial(place)
    _add_checkpoint(place)
    _add_training(place)
    (root / "search_spaces").mkdir()
    (root / "search_spaces" / "small.yaml").write_text(yaml.safe_dump(make_spec().to_dict()))
    return place


def _start_trial(place: Place) -> None:
    """Put trial 5 of `running-1` into its second epoch."""
    from tune_app.store.columns import column_types
    from tune_app.store.study_writer import StudyWriter
    from tune_app.tasks import load_task

    study = place.store.study("running-1")
    variables = load_task("image_cnn").variables
    row = {
        "trial": 5,
        "epoch": 1,
        "ended_at": now(),
        "duration_s": 0.5,
        "metric/val_accuracy": 0.95,
        "metric/val_loss": 0.1,
    }
    with StudyWriter(study, study.history(), column_types(variables)) as writer:
        writer.trial_started(5, "running-1-00005", {v.name: v.default for v in variables}, 7, 1)
        writer.epochs([row])
        live = {"state": "running", "total": 9, "trials": {"COMPLETED": 3, "PRUNED": 1, "FAILED": 1, "RUNNING": 1}}
        writer.live({**live, "best": {"trial": 0, "objective": 0.9}, "left_s": 12.5})


def _add_checkpoint(place: Place) -> None:
    """Give the best trial of `ended-1` the checkpoint that its training would have left."""
    from tune_app.tasks import load_task

    study = place.store.study("ended-1")
    record = study.history().trials[0]
    task = load_task("image_cnn")
    training = Training(task, record.config, task.load_data("digits"), epochs=2, seed=record.seed)
    training.save(place.store.folder.root / study.checkpoint(0))  # type: ignore[attr-defined]  # the store is a folder


def _add_training(place: Place) -> None:
    """Add the job of a training of the profile `mine`, and its results."""
    from tune_app.profiles.train import train

    job = place.add_job("train-mine", "SUCCEEDED", kind="training", study=None)
    train(place.profiles.load("mine"), place.store, epochs=1, seed=3, name=job.id)


@contextmanager
def running(settings: Settings) -> Iterator[httpx.Client]:
    """Run a server in a thread; yields a client that sends the token."""
    with bind("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        listening.listen(128)
        config = make_config(make_app(settings))
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        headers = {"Authorization": f"Bearer {settings.token}"} if settings.token else {}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
            try:
                yield client
            finally:
                server.should_exit = True
                thread.join(30)


@pytest.fixture(scope="session")
def serve() -> Serve:
    """See `running`."""
    return running


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, make_place: Callable[[Path], Place]) -> Place:
    """See `_make_place`; shared by the tests of a module."""
    return make_place(tmp_path_factory.mktemp("api"))


@pytest.fixture(scope="module")
def client(place: Place) -> Iterator[httpx.Client]:
    """A client of a server for `place`, without a token."""
    with running(place.settings) as found:
        yield found
