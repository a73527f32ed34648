"""Jobs as JSON documents, from files that are read again only when they changed.

Asking for a job costs two looks at the file system and no message to Ray, so that many may ask often while a sweep
needs the cores. What Ray knows comes in through `JobWatch`, which brings the records up to date.
"""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import asdict
from typing import Any

from tune_app.errors import InputError, TuneAppError
from tune_app.jobs.job import ID_PATTERN, Job
from tune_app.jobs.jobs import Jobs

WATCH_PERIOD_S = 3.0
log = logging.getLogger("tune_app.api")


class JobViews:
    """The jobs of a store as JSON documents."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._folder = jobs.store.folder
        self._records: dict[str, tuple[object, Job]] = {}
        self._bodies: dict[str, tuple[object, bytes]] = {}

    def job(self, job_id: str) -> Job:
        """The job `job_id`, as its record says.

        Raises:
            NotFound: there is none.
            InputError: its record is damaged.
        """
        return self._known(job_id)[1]

    def _known(self, job_id: str) -> tuple[object, Job]:
        stamp = self._folder.stamp(f"jobs/{job_id}/job.json") if ID_PATTERN.fullmatch(job_id) else None
        known = self._records.get(job_id)
        if stamp is None:
            self.forget(job_id)
        if known is None or known[0] != stamp or stamp is None:
            known = stamp, self._jobs.records.get(job_id)
            self._records[job_id] = known
        return known

    def body(self, job_id: str) -> bytes:
        """The job with its request and its progress, as JSON; see `job`."""
        stamp, job = self._known(job_id)
        both = stamp, self._folder.stamp(f"studies/{job.study}/live.json") if job.study else None
        known = self._bodies.get(job_id)
        if known is None or known[0] != both:
            known = both, json.dumps(self.document(job)).encode("ascii")
            self._bodies[job_id] = known
        return known[1]

    def document(self, job: Job) -> dict[str, Any]:
        """The same as a mapping."""
        return {**asdict(job), "progress": self._jobs.progress(job)}

    def all(self) -> tuple[list[Job], list[InputError]]:
        """All jobs, the latest first, and what is wrong with the records that cannot be read."""
        found: list[Job] = []
        damaged: list[InputError] = []
        for job_id in self._jobs.records.ids():
            try:
                found.append(self.job(job_id))
            except InputError as error:
                # A folder without a record is being made or removed.
                if self._folder.exists(f"jobs/{job_id}/job.json"):
                    damaged.append(error)
        return sorted(found, key=lambda job: (job.requested_at, job.id), reverse=True), damaged

    def forget(self, job_id: str) -> None:
        """Let go of what is known of a job that was removed."""
        self._records.pop(job_id, None)
        self._bodies.pop(job_id, None)


class JobWatch:
    """Looks after the jobs that have not ended, every `WATCH_PERIOD_S`: one whose process is gone is found ended."""

    def __init__(self, jobs: Jobs, views: JobViews) -> None:
        self._jobs, self._views = jobs, views
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="job-watch", daemon=True)

    def start(self) -> None:
        """Begin, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """End; a look that takes long is not waited for."""
        self._ending.set()

    def _run(self) -> None:
        while not self._ending.wait(WATCH_PERIOD_S):
            try:
                for job in self._views.all()[0]:
                    if not job.ended and not self._ending.is_set():
                        self._jobs.get(job.id)
            except TuneAppError as error:  # the store does not answer, or a job was removed meanwhile
                log.warning("jobs could not be looked after: %s", error.message)
