"""Shared state of a server's routes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.requests import Request

from tune_app.api.admission import Admission
from tune_app.api.job_views import JobViews, JobWatch
from tune_app.api.settings import Settings
from tune_app.api.study_logs import StudyLogs
from tune_app.errors import TuneAppError
from tune_app.jobs.job import Job
from tune_app.jobs.job_request import request_of
from tune_app.jobs.jobs import Jobs
from tune_app.profiles.profiles import Profiles
from tune_app.results.network import client
from tune_app.spaces.script import SCRIPT, SEED
from tune_app.spaces.section import Objective
from tune_app.store.store import Store
from tune_app.store.study import Study

AT_ONCE = 8
"""Maximum jobs submitted to Ray, or stopped, at the same time; others wait."""
OVER_HTTP = "over HTTP"
"""Suffix of the requester's name for jobs submitted over HTTP."""
log = logging.getLogger("tune_app.api")


def asker(request: Request) -> str:
    """Who asks, as records of jobs, notes and changes say it."""
    return f"{request.client.host if request.client else 'someone'} {OVER_HTTP}"


@dataclass(frozen=True)
class StudyFacts:
    """The facts of a study that do not change while it runs.

    Attributes:
        columns: of the configuration, ``config/<group>/<variable>``.
        seeded: whether its trials use their seeds, which is optional for a script.
    """

    document: dict[str, Any]
    objective: Objective
    columns: tuple[str, ...]
    seeded: bool


class Server:
    """Shared by all routes: the store, the profiles, caches, and background work after a response."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = Store(settings.store)
        self.jobs = Jobs(self.store)
        self.admission = Admission(settings.classes, settings.data_folders)
        self.profiles = Profiles(settings.profiles, self.admission.may_import)
        self.views = JobViews(self.jobs)
        self.logs = StudyLogs()
        self.watch = JobWatch(self.jobs, self.views)
        self._work = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="api-work")
        self._facts: dict[str, tuple[object, StudyFacts]] = {}
        self._layers: dict[tuple[str, int | None, str], client.Layers] = {}
        self._building = threading.Lock()
        self.removing = threading.Lock()
        self._begun: set[str] = set()

    def start(self) -> None:
        """Watch the jobs, and submit those to Ray that an earlier server accepted before it ended."""
        self.watch.start()
        self.later(self._give_accepted, "checking the accepted jobs")

    def _give_accepted(self) -> None:
        for job in self.jobs.never_given():
            if job.requested_by.endswith(OVER_HTTP):
                self.later(partial(self.jobs.give, job, request_of(job)), f"submitting {job.id}")

    def later(self, work: Callable[[], object], what: str) -> None:
        """Do `work` after the response, unless work with the same name is already in progress.

        Exceptions go to the server's log.
        """
        if what in self._begun:
            return
        self._begun.add(what)

        def run() -> None:
            try:
                work()
            except TuneAppError as error:
                log.warning("%s: %s", what, error.message)
            except Exception:
                log.exception("%s failed", what)
            finally:
                self._begun.discard(what)

        self._work.submit(run)

    def close(self) -> None:
        """Stop watching, and wait for work in progress."""
        self.watch.stop()
        self._work.shutdown(wait=True)

    def study(self, job: Job) -> Study | None:
        """The study of a job; None for a training run, and before the study exists."""
        study = Study(self.store.folder, job.study) if job.study else None
        return study if study and study.exists() else None

    def facts(self, study: Study) -> StudyFacts:
        """The constant facts of `study`, read once."""
        stamp = self.store.folder.stamp(f"{study.base}/spec.yaml")
        known = self._facts.get(study.name)
        if known is None or known[0] != stamp:
            document = study.document()
            names = study.table("trials").schema.names
            columns = tuple(name for name in names if name.startswith("config/"))
            seeded = document["task"] != SCRIPT or SEED in document
            facts = StudyFacts(document, Objective.model_validate(document["objective"]), columns, seeded)
            if not columns:  # the sweep has just started
                return facts
            known = self._facts[study.name] = stamp, facts
        return known[1]

    def layers(self, name: str, trial: int | None, version: str) -> client.Layers:
        """The layers of a network, built once per `version`, in a separate process.

        Args:
            name: of the study; of the training if there is no `trial`.

        Raises:
            InputError, WorkFailed: as `tune_app.results.network.client.read_layers`.
        """
        key = name, trial, version
        with self._building:  # one at a time, to leave the cores to the sweep
            if key not in self._layers:
                self._layers[key] = client.read_layers(self.store.folder.address, name, trial)
        return self._layers[key]

    def forget(self, job: Job, *, study: bool) -> None:
        """Forget a removed job, and its study if that was also removed."""
        self.views.forget(job.id)
        if not study:
            return
        if job.study:
            self.logs.forget(job.study)
            self._facts.pop(job.study, None)
        for key in [key for key in self._layers if key[0] == (job.study or job.id)]:
            del self._layers[key]
