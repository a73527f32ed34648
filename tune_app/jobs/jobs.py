"""Submits jobs to Ray Jobs, watches, stops and purges them.

It works the same on one machine and on a cluster: a Ray job server runs `job_runner.py`, which does the work and keeps
the record. Without an address, the server is a head on this machine, see `job_head.py`. A record is trusted while the
job's process sends heartbeats; otherwise Ray is asked.
"""

from __future__ import annotations

import logging
import os
import secrets
import shlex
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_app.credentials import NOTIFY, inherited_environment, keys_of
from tune_app.environment import changed_environment
from tune_app.errors import Conflict, InputError, TuneAppError, WorkFailed
from tune_app.jobs.job import END_STATES, STATES, Job
from tune_app.jobs.job_folder import check_size, excludes
from tune_app.jobs.job_head import JobHead, end_head, ensure_head, find_head, head_lock
from tune_app.jobs.job_request import JobRequest
from tune_app.jobs.job_store import JobStore
from tune_app.moment import now
from tune_app.provenance import user_name
from tune_app.store.live_training import read_live_training
from tune_app.store.log_lines import LARGEST_PIECE
from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.store.training_record import record_path

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

SILENT_S = 12.0
"""After this much silence, ask Ray what happened to a job."""
LOST_S = 90.0
"""After this much silence, if the job server is unreachable, a job counts as lost."""
YIELD_S = 9.0
"""How long a job may take to stop before Ray kills its processes."""
_environment = threading.Lock()
PACKAGE_LOGGERS = ("ray.dashboard.modules.dashboard_sdk", "ray._private.runtime_env.packaging")
"""Loggers that report every uploaded package."""


class Jobs:
    """The jobs of a store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.records = JobStore(store.folder)

    def submit(self, request: JobRequest, *, address: str | None = None, by: str | None = None) -> Job:
        """Record a job for `request` and submit it to Ray; it runs in the current folder.

        Args:
            address: the cluster's job server, such as ``http://head:8265``; by default, this machine's own.
            by: who requested it; by default, the user of this process.

        Raises:
            InputError: no job server answers, it rejects us, or the name of the study is taken.
            WorkFailed: Ray did not accept the job; its record says why.
        """
        with self._server(address) as (client, head):
            return self._give(self._record(request, address, by or user_name()), request, client, head)

    def accept(self, request: JobRequest, *, address: str | None = None, by: str | None = None) -> Job:
        """Record a job for `request` immediately; `give` submits it to Ray, which may take as long as a head needs to
        start.

        Raises:
            Conflict: the name of the study is taken.
        """
        return self._record(request, address, by or user_name())

    def give(self, job: Job, request: JobRequest) -> Job:
        """Submit an accepted job to Ray; see `submit`. If that fails, the record says why.

        Raises:
            InputError: no job server answers, or it rejects us.
            WorkFailed: Ray did not accept the job.
        """
        if (known := self.records.get(job.id)).ended:
            return known
        try:
            with self._server(job.address) as (client, head):
                known = self.records.get(job.id)
                if (
                    known.ended or known.submitted_at
                ):  # cancelled while the head started, or submitted by another process
                    return known
                return self._give(job, request, client, head)
        except TuneAppError as error:
            self.records.end(job.id, "FAILED", reason="error", message=error.message)
            raise

    def never_given(self) -> list[Job]:
        """The jobs accepted on this machine but not yet submitted to Ray."""
        here = socket.gethostname()
        return [j for j in self.records.all() if j.state == "QUEUED" and j.submitted_at is None and j.host == here]

    @contextmanager
    def _server(self, address: str | None) -> Iterator[tuple[JobSubmissionClient, JobHead | None]]:
        """A client of the job server at `address`; without one, of this machine's head, started if there is none."""
        if address is None:
            with head_lock(self.store.folder):
                head = ensure_head(self.store.folder)
                yield connect(head.address, head.token()), head
            return
        client = connect(address)
        check_size(Path.cwd(), excludes(Path.cwd(), self.store.folder))
        yield client, None

    def _give(self, job: Job, request: JobRequest, client: JobSubmissionClient, head: JobHead | None) -> Job:
        try:
            with _ray_errors(job.address or "this machine's head"):
                client.submit_job(
                    **self._submission(job, request, head),
                    entrypoint_num_cpus=request.cpus,
                    entrypoint_num_gpus=request.gpus,
                )
        except TuneAppError as error:
            self.records.end(job.id, "FAILED", reason="error", message=error.message)
            raise
        return self.records.submitted(job.id)

    def _record(self, request: JobRequest, address: str | None, by: str) -> Job:
        def make(run: int) -> Job:
            job_id = f"{request.space}-{run}"
            return Job(
                id=job_id,
                kind=request.kind,
                space=request.space,
                run=run,
                study=(request.study or job_id) if request.kind == "sweep" else None,
                request=request.content,
                requested_by=by,
                requested_at=now(),
                address=address,
                host=socket.gethostname(),
                folder=str(Path.cwd()),
                submission_id=f"{job_id}-{secrets.token_hex(4)}",
            )

        if request.study is not None:
            holder = next((j for j in self.records.all() if j.study == request.study and not j.ended), None)
            if holder is not None:
                raise _is_held(request.study, holder)
            # A job that ended before its study started, or whose study was removed, does not own the new one.
            for former in [j for j in self.records.all() if j.study == request.study]:
                self.records.change(former.id, lambda found: replace(found, study=None) if found.ended else found)
            job = self.records.create(request.space, make)
            # Another one may have been accepted since the records were read.
            try:
                holder = self.records.claim(request.study, job.id)
            except TuneAppError:
                self.records.remove(job.id)
                raise
            if holder is not None:
                self.records.remove(job.id)
                raise _is_held(request.study, holder)
            return job
        studies = set(self.store.studies())

        def taken(job: Job) -> bool:
            return job.study in studies if job.study else self.store.folder.exists(record_path(job.id))

        return self.records.create(request.space, make, taken)

    def _submission(self, job: Job, request: JobRequest, head: JobHead | None) -> dict[str, Any]:
        """The submission to Ray's job server; on this machine, no files are uploaded.

        Anyone with access to the job server can see all of it.
        """
        told = {"submission_id": job.submission_id, "metadata": {"tune_app_job": job.id}}
        keys = keys_of(self.store.folder.address)
        if notify := " ".join(request.notify) or os.environ.get(NOTIFY):
            keys[NOTIFY] = notify
        runner = ["-P", "-m", "tune_app.jobs.job_runner", self.store.folder.url, job.id]
        if head is not None:
            # The head has the environment of the process that started it.
            own = {name: value for name, value in inherited_environment().items() if name.startswith("TUNE_APP_")}
            settings = head.leave_settings(job.submission_id, {**own, **keys})
            there = ["--ray", head.ray, "--settings", str(settings)]
            return {**told, "entrypoint": "exec " + shlex.join([sys.executable, *runner, *there])}
        environment = {
            "working_dir": job.folder,
            "excludes": excludes(Path(job.folder), self.store.folder),
            # Ray's default of 3 s is short for a sweep's last rows.
            "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "8", **keys},
        }
        return {**told, "entrypoint": "exec " + shlex.join(["python", *runner]), "runtime_env": environment}

    def get(self, job_id: str) -> Job:
        """The current state of the job `job_id`; ended if its process is gone.

        Raises:
            InputError: there is no such job.
        """
        return self._looked_after(self.records.get(job_id))

    def all(self) -> list[Job]:
        """The current state of all jobs, latest last."""
        return sorted(map(self._looked_after, self.records.all()), key=lambda job: (job.requested_at, job.id))

    def damaged(self) -> list[InputError]:
        """The errors of unreadable records."""
        return [found for found in self.records.read() if isinstance(found, InputError)]

    def progress(self, job: Job) -> dict[str, Any] | None:
        """The progress of a job; None before it starts.

        For a sweep: ended, total and running trials, the best so far, seconds left. For a training: see
        `tune_app.store.live_training`.
        """
        if job.kind == "training":
            return read_live_training(self.store.folder, job.id)
        live = Study(self.store.folder, job.study).json("live.json") if job.study else {}
        if "trials" not in live:
            return None
        counts = live["trials"]
        return {
            "ended": sum(count for state, count in counts.items() if state != "RUNNING"),
            "total": live["total"],
            "running": 0 if job.ended else counts.get("RUNNING", 0),
            "best": live["best"],
            "left_s": None if job.ended else live["left_s"],
        }

    def cancel(self, job_id: str, *, by: str | None = None) -> Job:
        """Stop a job: ask its process, and if it does not stop, have Ray kill it. Finished trials are kept.

        Raises:
            InputError: there is no such job, or it has already ended.
            WorkFailed: neither its process nor Ray can be reached; the request stays.
        """
        job, who = self.get(job_id), by or user_name()
        if job.state == "CANCELLED":
            return job
        check_cancellable(job)
        return self.stop(self.ask_to_stop(job_id, who), who)

    def ask_to_stop(self, job_id: str, who: str) -> Job:
        """Write the stop request; this makes a job that has not started CANCELLED, whatever Ray does with it.

        Raises:
            InputError: there is no such job.
        """
        self.records.ask_to_stop(job_id, who)
        message = f"cancelled by {who}; it had not started"

        def withdrawn(job: Job) -> Job:
            is_queued = job.state == "QUEUED"
            return job.moved("CANCELLED", reason="cancelled", message=message) if is_queued else job

        return self.records.change(job_id, withdrawn)

    def stop(self, job: Job, who: str) -> Job:
        """Wait for the end of a stopping job, and have Ray kill it if it does not stop; see `cancel`.

        Raises:
            WorkFailed: neither its process nor Ray can be reached; the request stays.
        """
        if job.ended:
            if job.submitted_at:  # it is in Ray's queue; if Ray is unreachable, its process sees that it was cancelled
                with suppress(TuneAppError):
                    self._end_at_ray(job)
            return job
        deadline = time.monotonic() + YIELD_S
        while not (job := self.records.get(job.id)).ended and time.monotonic() < deadline:
            time.sleep(0.1)
        if not job.ended:
            try:
                self._end_at_ray(job, wait_s=15)
            except TuneAppError as error:
                raise WorkFailed(
                    f"the job `{job.id}` was asked to stop but has not yet, and Ray cannot end it: {error.message}",
                    hint=f"check again with `tune-app jobs status {job.id}`",
                ) from error
            how = "it did not stop and was killed"
            job = self.records.end(job.id, "CANCELLED", reason="cancelled", message=f"cancelled by {who}; {how}")
        return job

    def _end_at_ray(self, job: Job, wait_s: float = 0.0) -> None:
        """Have Ray end the job's processes, and wait for that."""
        client = self._client(job)
        if client is None:
            return  # everything on the head is gone with it
        with _ray_errors(client.get_address()):
            client.stop_job(job.submission_id)
            deadline = time.monotonic() + wait_s
            while time.monotonic() < deadline and not client.get_job_status(job.submission_id).is_terminal():
                time.sleep(0.2)

    def wait(self, job_id: str, on_log: Callable[[bytes], None] = lambda text: None, period_s: float = 0.5) -> Job:
        """Wait for a job's end, and print its output."""
        seen = 0
        while True:
            job = self.get(job_id)
            while new := self.records.log(job_id, seen, LARGEST_PIECE):
                seen += len(new)
                on_log(new)
            if job.ended:
                return job
            time.sleep(period_s)

    def purgeable(self, states: Sequence[str], older_than: timedelta) -> list[Job]:
        """The jobs in these end states that ended longer ago."""
        before = datetime.now(UTC) - older_than
        return [
            job
            for job in self.all()
            if job.state in states and job.ended_at and datetime.fromisoformat(job.ended_at) <= before
        ]

    def purge(self, job: Job, *, study: bool = False) -> None:
        """Remove an ended job's record and log, and optionally its study or the files of its training.

        Raises:
            InputError: the study is being written.
        """
        assert job.state in END_STATES
        if study and job.study:
            kept = Study(self.store.folder, job.study)
            with kept.writing():
                for name in (f"trials/study={job.study}", f"epochs/study={job.study}", kept.base):
                    self.store.folder.remove(name)
        elif study and job.kind == "training":
            self.store.folder.remove(f"trainings/{job.id}")
        self.records.remove(job.id)

    def end_head(self) -> JobHead | None:
        """Stop this machine's head; returns the stopped head.

        Raises:
            InputError: jobs run on it.
        """
        with head_lock(self.store.folder):
            busy = [job.id for job in self.all() if not job.ended and self._is_here(job)]
            if busy:
                raise InputError(
                    f"jobs are running on this machine's head: {', '.join(busy)}",
                    hint="`tune-app jobs cancel ID` stops one",
                )
            return end_head(self.store.folder)

    def _is_here(self, job: Job) -> bool:
        return job.address is None and job.host == socket.gethostname()

    def _client(self, job: Job) -> JobSubmissionClient | None:
        """A client of its job server; None if it was this machine's head and is gone.

        Raises:
            InputError: no server answers, it rejects us, or it is the head of another machine.
        """
        if job.address is not None:
            return connect(job.address)
        if not self._is_here(job):
            raise InputError(f"the job `{job.id}` runs on the head of {job.host}, which can only be reached from there")
        head = find_head(self.store.folder)
        return connect(head.address, head.token()) if head else None

    def _looked_after(self, job: Job) -> Job:
        """The job, marked as ended if its process disappeared."""
        if job.ended:
            return job
        here = self._is_here(job)
        if here and job.submitted_at and find_head(self.store.folder) is None:
            return self._lost(job, f"the Ray head on {job.host} is gone")
        silence = self.records.silence_s(job.id)
        if silence is None:
            silence = (datetime.now(UTC) - datetime.fromisoformat(job.submitted_at or job.requested_at)).total_seconds()
            if job.submitted_at is None:
                # The submitter may still be uploading files; if it died, the record remains.
                return self._lost(job, "it was never submitted to Ray") if silence > 10 * LOST_S else job
        if silence < SILENT_S:
            return job
        try:
            return self._as_ray_says(job)
        except TuneAppError as error:
            if job.state == "RUNNING" and silence > LOST_S:
                return self._lost(job, f"no heartbeat for {silence:.0f} s, and {error.message}")
            return job

    def _as_ray_says(self, job: Job) -> Job:
        client = self._client(job)
        if client is None:
            return job
        address = client.get_address()
        with _ray_errors(address):
            found = next((j for j in client.list_jobs() if j.submission_id == job.submission_id), None)
        if found is None:
            return self._lost(job, f"the job server at {address} does not know it; the head was restarted")
        match str(found.status):
            case "STOPPED":
                return self.records.end(job.id, "CANCELLED", reason="cancelled", message="stopped through Ray")
            case "FAILED":
                return self._failed(job, found.driver_exit_code, (found.message or "").strip().splitlines())
            case "SUCCEEDED":
                return self.records.end(job.id, "SUCCEEDED", code=0)
        return job

    def _failed(self, job: Job, code: int | None, said: list[str]) -> Job:
        """The job whose process disappeared; Ray quotes the end of its output after a first line."""
        last = next((line.strip() for line in reversed(said[1:]) if line.strip()), "")
        printed = f"; the last line it printed: {last[:200]}" if last else ""
        if code is None:
            what = "lost" if job.state == "RUNNING" else "could not start"
            why = f"Ray {what} the job's process: {said[0][:300] if said else 'it does not say why'}"
        elif code < 0:
            why = f"the job's process was ended by {signal.Signals(-code).name}{printed}"
        else:
            why = f"the job's process ended with exit code {code}{printed}"
        if (code is not None and code >= 0) or job.state != "RUNNING":
            return self.records.end(job.id, "FAILED", reason="error", message=why, code=code)
        return self._lost(job, why, code)

    def _lost(self, job: Job, why: str, code: int | None = None) -> Job:
        begun = job.study is not None and Study(self.store.folder, job.study).exists()
        again = f"; `tune-app resume {job.study}` continues its study" if begun else ""
        return self.records.end(job.id, "FAILED", reason="lost", message=why + again, code=code)


def _is_held(study: str, holder: Job) -> Conflict:
    return Conflict(
        f"the study `{study}` belongs to the job `{holder.id}`, which is {holder.state}",
        hint="choose another name, or omit it",
    )


def connect(address: str, token: str | None = None) -> JobSubmissionClient:
    """A client of the job server at `address`.

    Args:
        token: the server's token; None to use Ray's own settings.

    Raises:
        InputError: it is not the address of a job server, none answers there, or it rejects us.
    """
    scheme, host_port = check_address(address)
    _check_listening(address, host_port, 443 if scheme == "https" else 80)
    from ray.job_submission import JobSubmissionClient

    class Client(JobSubmissionClient):  # type: ignore[misc]  # mypy skips Ray
        """Ray's client, which gives up on a server that does not answer."""

        def _do_request(self, method: str, endpoint: str, **given: Any) -> Any:
            return super()._do_request(method, endpoint, **{"timeout": 120, **given})

        def submit_job(self, **given: Any) -> str:
            with _untold_packages():
                return str(super().submit_job(**given))

    # Ray lets this variable override the given address.
    with _environment, _ray_errors(address), changed_environment({"RAY_API_SERVER_ADDRESS": address}):
        return Client(address, headers={"Authorization": f"Bearer {token}"} if token else None)


@contextmanager
def _untold_packages() -> Iterator[None]:
    """Silence Ray's messages about uploads of this thread; other threads' messages and log levels are unaffected."""
    thread = threading.get_ident()

    def is_told(record: logging.LogRecord) -> bool:
        return record.thread != thread or record.levelno >= logging.ERROR

    loggers = [logging.getLogger(name) for name in PACKAGE_LOGGERS]
    for logger in loggers:
        logger.addFilter(is_told)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(is_told)


def check_cancellable(job: Job) -> None:
    """Refuse to cancel a job that has ended.

    Raises:
        Conflict: it has.
    """
    if job.ended:
        running = [state for state in STATES if state not in END_STATES]
        raise Conflict(
            f"only a job that is {' or '.join(running)} can be cancelled, but `{job.id}` is {job.state}",
            hint="end states are final",
        )


def check_address(address: str) -> tuple[str, str]:
    """The scheme and the ``HOST:PORT`` of a job server's address.

    Raises:
        InputError: it is not such an address.
    """
    scheme, _, rest = address.partition("://")
    if scheme not in ("http", "https") or not rest:
        raise InputError(
            f"a job server's address must be http://HOST:PORT, but got `{address}`",
            hint="such as http://head:8265; set it with --address, RAY_API_SERVER_ADDRESS or RAY_ADDRESS",
        )
    return scheme, rest.partition("/")[0]


def _check_listening(address: str, host_port: str, default_port: int) -> None:
    host, colon, port = host_port.rpartition(":")
    try:
        target = (host, int(port)) if colon else (host_port, default_port)
        socket.create_connection(target, timeout=5).close()
    except (OSError, OverflowError, ValueError) as error:
        raise InputError(
            f"no job server answers at `{address}`: {getattr(error, 'strerror', None) or error}",
            hint="a head started with `ray start --head` has one on port 8265; omit --address to use this machine",
        ) from error


@contextmanager
def _ray_errors(address: str) -> Iterator[None]:
    """Converts Ray's errors to ours."""
    import requests
    from ray.exceptions import AuthenticationError

    from tune_app.ray_backend.cluster import TOKEN_HINT, first_sentence

    try:
        yield
    except AuthenticationError as error:
        raise InputError(f"the cluster at `{address}` refused us: {first_sentence(error)}", hint=TOKEN_HINT) from error
    except (ConnectionError, requests.RequestException) as error:
        raise InputError(f"no job server answers at `{address}`: {_in_one_line(error)}") from error
    except (RuntimeError, ValueError) as error:
        text = _in_one_line(error)
        if "Version check" in text:
            raise InputError(
                f"the server at `{address}` is not the job server of a Ray cluster: {text}",
                hint="it has the address of Ray's dashboard, by default port 8265 of the head",
            ) from error
        raise WorkFailed(f"the job server at `{address}` did not accept it: {text}") from error


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
