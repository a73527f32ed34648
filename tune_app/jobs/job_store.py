"""The jobs of a store: their records, logs, heartbeat and requests to stop, under ``<root>/jobs/``.

    jobs/<id>/job.json     the record
    jobs/<id>/log.txt      what the job printed
    jobs/<id>/heartbeat    when its process was last alive
    jobs/<id>/cancel       who asked it to stop; its process looks for this file
    jobs/.counters.json    the last run number of every space; numbers are not used twice

Reading and writing only need the store, so that jobs can be listed and stopped even if the cluster is unreachable.
Several processes may do so at once: a file that two of them might change is only written if nobody else came first,
and otherwise read again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from tune_app.errors import InputError, NotFound, WorkFailed, nearest
from tune_app.folder import Folder
from tune_app.jobs.job import ID_PATTERN, Job, read_job
from tune_app.moment import now
from tune_app.store import log_lines

COUNTERS = "jobs/.counters.json"
TRIES = 100
"""How often to retry a put after another process came first."""


class JobStore:
    """The jobs of one store."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def create(self, space: str, make: Callable[[int], Job], taken: Callable[[Job], bool] = lambda job: False) -> Job:
        """Record a new job under the next run number of `space`.

        Args:
            make: the job with this run number.
            taken: whether something else already has this job's place; its number is then skipped.

        Raises:
            WorkFailed: the store cannot be written.
        """
        for _ in range(TRIES):
            content, version = self.folder.read_version(COUNTERS)
            counters = json.loads(content or b"{}")
            run = counters.get(space, 0) + 1
            while self.folder.exists(_record(make(run).id)) or taken(make(run)):
                run += 1
            if self.folder.replace(COUNTERS, json.dumps({**counters, space: run}, indent=2).encode(), version) is None:
                continue
            job = make(run)
            if self.folder.create(_record(job.id), job.to_json()):
                return job
        raise self._too_busy(COUNTERS)

    def claim(self, study: str, job_id: str) -> Job | None:
        """Claim the name of a study for the recorded job `job_id`; returns the active job that already has it, if any.

        If several claim a name at once, one gets it.

        Raises:
            WorkFailed: the store cannot be written.
        """
        name = f"jobs/.names/{study}"
        for _ in range(TRIES):
            content, version = self.folder.read_version(name)
            holder = (content or b"").decode()
            if holder not in ("", job_id) and self.folder.exists(_record(holder)):
                job = self.get(holder)
                if job.study == study and not job.ended:
                    return job
            if self.folder.replace(name, job_id.encode(), version) is not None:
                return None
        raise self._too_busy(name)

    def ids(self) -> list[str]:
        """The ids of all jobs, sorted."""
        return [name for name in self.folder.names("jobs") if ID_PATTERN.fullmatch(name)]

    def all(self) -> list[Job]:
        """The jobs whose records can be read, sorted by id."""
        return [found for found in self.read() if isinstance(found, Job)]

    def read(self) -> list[Job | InputError]:
        """All jobs, sorted by id, with an error in place of a damaged record."""
        found: list[Job | InputError] = []
        for job_id in self.ids():
            content = self.folder.read(_record(job_id))
            if content is None:  # it is being removed
                continue
            try:
                found.append(read_job(content, self.folder.path(_record(job_id))))
            except InputError as error:
                found.append(error)
        return found

    def get(self, job_id: str) -> Job:
        """The job `job_id`.

        Raises:
            NotFound: there is none.
            InputError: its record is damaged.
        """
        return self._get(job_id)[0]

    def _get(self, job_id: str) -> tuple[Job, object]:
        is_id = ID_PATTERN.fullmatch(job_id)
        content, version = self.folder.read_version(_record(job_id)) if is_id else (None, None)
        if content is None:
            ids = self.ids()
            hint = nearest(job_id, ids) if ids else "there are no jobs yet; start one with `tune-app submit SPACE`"
            raise NotFound(f"there is no job `{job_id}` in {self.folder.url}", hint=hint)
        return read_job(content, self.folder.path(_record(job_id))), version

    def change(self, job_id: str, change: Callable[[Job], Job]) -> Job:
        """Replace the record with the result of `change` on the current one.

        If another process changes it in the meantime, `change` is called again with the new record.

        Raises:
            InputError: there is no such job, or `change` rejects.
            WorkFailed: the store cannot be written.
        """
        for _ in range(TRIES):
            former, version = self._get(job_id)
            job = change(former)
            if job == former or self.folder.replace(_record(job_id), job.to_json(), version) is not None:
                return job
        raise self._too_busy(_record(job_id))

    def end(
        self, job_id: str, state: str, *, reason: str | None = None, message: str | None = None, code: int | None = None
    ) -> Job:
        """Move a job to an end state unless it already has one; returns the current job."""

        def ended(job: Job) -> Job:
            if job.ended:
                return job
            # Its process started and ended between two checks.
            job = job.moved("RUNNING") if state == "SUCCEEDED" and job.state == "QUEUED" else job
            return job.moved(state, reason=reason, message=message, exit_code=code)

        return self.change(job_id, ended)

    def submitted(self, job_id: str) -> Job:
        """Record that Ray accepted the job."""
        return self.change(job_id, lambda job: replace(job, submitted_at=now()))

    def remove(self, job_id: str) -> None:
        """Remove the job's record, log and heartbeat; its study stays."""
        self.folder.remove(f"jobs/{job_id}")

    def beat(self, job_id: str) -> None:
        """Record that the job's process is alive."""
        self.folder.write(f"jobs/{job_id}/heartbeat", now().encode())

    def silence_s(self, job_id: str) -> float | None:
        """Seconds since the last heartbeat of the job's process; None if there was none.

        A clock ahead of ours counts as now.
        """
        content = self.folder.read(f"jobs/{job_id}/heartbeat")
        if not content:
            return None
        return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(content.decode())).total_seconds())

    def ask_to_stop(self, job_id: str, who: str) -> None:
        """Write the stop request where the job's process looks for it."""
        self.folder.write(f"jobs/{job_id}/cancel", who.encode())

    def asked_to_stop(self, job_id: str) -> str | None:
        """Who asked the job to stop; None if nobody did."""
        content = self.folder.read(f"jobs/{job_id}/cancel")
        return None if content is None else content.decode()

    def log_path(self, job_id: str) -> str:
        """The address of the job's log, for users."""
        return self.folder.path(_log(job_id))

    def log(self, job_id: str, start: int = 0, size: int | None = None) -> bytes:
        """The job's output from byte `start`, at most `size` bytes; empty if there is none yet."""
        return self.folder.read(_log(job_id), start, size) or b""

    def first_lines(self, job_id: str, count: int, start: int = 0) -> bytes:
        """At most `count` lines of the job's output, from byte `start`, see `log_lines`."""
        return log_lines.first_lines(self.folder, _log(job_id), count, start)

    def last_lines(self, job_id: str, count: int, begin: int = 0) -> tuple[bytes, int]:
        """At most `count` lines from the end of the job's output, and the byte after them.

        They do not start before byte `begin`; see `log_lines`.
        """
        return log_lines.last_lines(self.folder, _log(job_id), count, begin)

    def add_to_log(self, job_id: str, content: bytes) -> None:
        """Append to the job's output."""
        self.folder.append(_log(job_id), content)

    def _too_busy(self, name: str) -> WorkFailed:
        where = self.folder.path(name)
        return WorkFailed(f"other processes changed the file {TRIES} times in a row", where=where, hint="try again")


def _record(job_id: str) -> str:
    return f"jobs/{job_id}/job.json"


def _log(job_id: str) -> str:
    return f"jobs/{job_id}/log.txt"
