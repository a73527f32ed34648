"""The process that Ray starts for a job: it runs the command, keeps the record and the log, and stops on request.

    python -m tune_app.jobs.job_runner STORE ID [--ray ADDRESS] [--settings FILE]

The command runs as a child. Its output goes to the job's log in the store, and from there to the output of this
process, so that ``ray job logs`` also shows it. Stopping escalates: an interrupt, which lets a trial that is about to
end do so; a termination request, which stops the trials and keeps the study intact; then a kill.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tune_app.errors import TuneAppError
from tune_app.folder import LocalFolder
from tune_app.jobs.job_request import command
from tune_app.jobs.job_store import JobStore
from tune_app.store.store import Store

LOOK_S = 0.2
BEAT_S = 3.0
TERMINATE_AFTER_S = 2.0
KILL_AFTER_S = 7.0
LAST_LINES = 200
"""How far from the end of its output to look for a command's error."""


def main() -> None:
    """Run the job in the arguments; exits with its command's code."""
    parser = argparse.ArgumentParser(prog="python -m tune_app.jobs.job_runner")
    parser.add_argument("store")
    parser.add_argument("id")
    parser.add_argument("--ray", help="address of the Ray head; default: the one that Ray set in the environment")
    parser.add_argument("--settings", type=Path, help="a file with environment variables, which is removed")
    given = parser.parse_args()
    if given.settings:
        os.environ.update(json.loads(given.settings.read_text(encoding="utf-8")))
        given.settings.unlink()
    if given.ray:
        os.environ["RAY_ADDRESS"] = given.ray
    # Ray blocks interrupts in all its processes, and children inherit that.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        sys.exit(JobRunner(given.store, given.id).run())
    except TuneAppError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


class JobRunner:
    """Runs one job of a store.

    Raises:
        InputError: the store, as seen from this machine, has no such job.
    """

    def __init__(self, store: str, job_id: str) -> None:
        self._url = store
        self._jobs = JobStore(Store(store).folder)
        self._job = self._jobs.get(job_id)
        self._local = isinstance(self._jobs.folder, LocalFolder)
        self._stopped_by: str | None = None

    def run(self) -> int:
        """Run the command and record how it ended; returns its exit code, 130 if it was cancelled."""
        job = self._job
        if by := self._jobs.asked_to_stop(job.id):
            self._jobs.end(job.id, "CANCELLED", reason="cancelled", message=f"cancelled by {by} before it started")
            return 130
        # Before the record says RUNNING: a reader may then send a signal immediately.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        self._job = job = self._jobs.change(job.id, lambda found: found.moved("RUNNING"))
        self._jobs.beat(job.id)
        # Next to the record if possible: then a killed process's files are removed with it.
        own = self._jobs.folder.path(f"jobs/{job.id}") if self._local else None
        with tempfile.TemporaryDirectory(prefix=".scratch-", dir=own) as scratch:
            code = self._run_command(Path(scratch))
        self._end(code)
        return code

    def _run_command(self, scratch: Path) -> int:
        here = self._job.host == socket.gethostname() and self._job.address is None
        spool = scratch / "log.txt"
        with spool.open("wb") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", "tune_app", *command(self._job, self._url, scratch)],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=self._job.folder if here else None,  # elsewhere Ray has unpacked that folder and changed to it
                preexec_fn=_end_with_parent,
            )
        log = _Log(spool, self._jobs, self._job.id, period_s=LOOK_S if self._local else BEAT_S)
        beat_at = stopping_at = 0.0
        sent = 0
        while child.poll() is None:
            now = time.monotonic()
            log.copy()
            if now >= beat_at:
                beat_at = now + BEAT_S
                self._jobs.beat(self._job.id)
            if self._stopped_by is None and (self._local or beat_at == now + BEAT_S):
                self._stopped_by = self._jobs.asked_to_stop(self._job.id)
            if self._stopped_by is not None:
                stopping_at = stopping_at or now
                steps = ((0.0, signal.SIGINT), (TERMINATE_AFTER_S, signal.SIGTERM), (KILL_AFTER_S, signal.SIGKILL))
                for number, (after, step) in enumerate(steps, start=1):
                    if sent < number and now >= stopping_at + after:
                        sent = number
                        child.send_signal(step)
            time.sleep(LOOK_S)
        log.copy(last=True)
        return child.returncode

    def _end(self, code: int) -> None:
        job_id = self._job.id
        if code == 0:
            self._jobs.end(job_id, "SUCCEEDED", code=code)
        elif self._stopped_by is not None or code in (130, 143):
            by = self._stopped_by or "an interrupt"
            how = "; it did not stop and was killed" if code == -signal.SIGKILL else ""
            self._jobs.end(job_id, "CANCELLED", reason="cancelled", message=f"cancelled by {by}{how}", code=code)
        else:
            self._jobs.end(job_id, "FAILED", reason="error", message=self._why(code), code=code)

    def _why(self, code: int) -> str:
        """The error that the command printed, or else its last line, or how it ended."""
        lines = self._jobs.last_lines(self._job.id, LAST_LINES)[0].decode(errors="replace").splitlines()
        errors = [number for number, line in enumerate(lines) if line.startswith("error: ")]
        ended = f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        if errors:
            return "; ".join(line.strip() for line in lines[errors[-1] :][:2]).removeprefix("error: ")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"{ended}: {last}" if last else ended

    def _on_signal(self, number: int, frame: object) -> None:
        self._stopped_by = self._stopped_by or f"{signal.Signals(number).name} from Ray"


def _end_with_parent() -> None:
    """Make Linux end this process together with its parent, because Ray may only end the parent of a job."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1: PR_SET_PDEATHSIG


class _Log:
    """Copies the command's output to the store and to this process's output, at most every `period_s`."""

    def __init__(self, spool: Path, jobs: JobStore, job_id: str, period_s: float) -> None:
        self._file = spool.open("rb")
        self._jobs, self._id, self._period_s = jobs, job_id, period_s
        self._next = 0.0

    def copy(self, last: bool = False) -> None:
        """Copy new output; the `last` time all of it."""
        if not last and time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._period_s
        if content := self._file.read():
            self._jobs.add_to_log(self._id, content)
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
        if last:
            self._file.close()


if __name__ == "__main__":
    main()
