"""Jobs as JSON documents, from files that are only reread when they change.

A request for a job costs two `stat` calls and no message to Ray, so that many clients can poll while a sweep needs the
cores. `JobWatch` updates the records from Ray.
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
        """The job `job_id` according to its record.

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
        """All jobs, latest first, and the errors of unreadable records."""
        found: list[Job] = []
        damaged: list[InputError] = []
        for job_id in self._jobs.records.ids():
            try:
                found.append(self.job(job_id))
            except InputError as error:
                # A folder without a record is being created or removed.
                if self._folder.exists(f"jobs/{job_id}/job.json"):
                    damaged.append(error)
        return sorted(found, key=lambda job: (job.requested_at, job.id), reverse=True), damaged

    def forget(self, job_id: str) -> None:
        """Forget a removed job."""
        self._records.pop(job_id, None)
        self._bodies.pop(job_id, None)


class JobWatch:
    """Checks active jobs every `WATCH_PERIOD_S`, and marks those whose process is gone as ended."""

    def __init__(self, jobs: Jobs, views: JobViews) -> None:
        self._jobs, self._views = jobs, views
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="job-watch", daemon=True)

    def start(self) -> None:
        """Start, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, without waiting for a slow check."""
        self._ending.set()

    def _run(self) -> None:
        while not self._ending.wait(WATCH_PERIOD_S):
            try:
                for job in self._views.all()[0]:
                    if not job.ended and not self._ending.is_set():
                        self._jobs.get(job.id)
            except TuneAppError as error:  # the store does not respond, or a job was removed in the meantime
                log.warning("could not update the jobs: %s", error.message)
