"""The Ray head with a job server that runs jobs on this machine when there is no cluster.

The first job starts it on loopback. It outlives the command that started it, and stops when no job has run for some
minutes. Its address is in ``jobs/.heads/<machine>.json`` in the store; it also stops if that file is removed, for
example along with the store.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from tune_app.credentials import inherited_environment, keys_of, write_private
from tune_app.errors import TuneAppError, WorkFailed
from tune_app.folder import Folder, LocalFolder, cannot_write, open_folder
from tune_app.jobs.job_store import JobStore

if TYPE_CHECKING:
    from ray.job_submission import JobDetails

START_S = 120.0
IDLE_S = 300.0
LOOK_S = 2.0
PREFIX = "tune-app-head-"


@dataclass(frozen=True)
class JobHead:
    """A head that runs on this machine.

    Attributes:
        address: of its job server, ``http://127.0.0.1:…``.
        ray: of the head itself, for drivers.
        pid: of the process that runs it; the head ends with it.
        token_path: a file with the token that it requires, readable only by this user.
    """

    address: str
    ray: str
    pid: int
    token_path: str

    def token(self) -> str:
        """The token that it requires, because anyone who can submit a job runs code as this user."""
        return Path(self.token_path).read_text(encoding="utf-8")

    def leave_settings(self, submission_id: str, environment: Mapping[str, str]) -> Path:
        """Write a job's environment to a file that only this user can read, and return it; the job removes the file.

        Ray stores and shows the command that it starts, and everything else it knows about a job.
        """
        path = Path(self.token_path).with_name(f"{submission_id}.json")
        write_private(path, json.dumps(environment))
        return path


def find_head(folder: Folder) -> JobHead | None:
    """The head of this machine for the store in `folder`; None if none answers."""
    content = folder.read(_name())
    if content is None:
        return None
    try:
        head = JobHead(**json.loads(content))
    except (ValueError, TypeError):  # of another version; it stops when idle
        return None
    return head if _lives(head) else None


def ensure_head(folder: Folder) -> JobHead:
    """The head of this machine, started if there is none. Hold `head_lock`, or it may stop before it is used.

    Raises:
        WorkFailed: it did not start; the error says where its log is.
    """
    found = find_head(folder)
    return found or _start(folder)


def end_head(folder: Folder) -> JobHead | None:
    """Stop the head of this machine, with everything on it; returns the stopped head."""
    head = find_head(folder)
    if head is None:
        _clear_away(folder)
        return None
    os.kill(head.pid, signal.SIGTERM)
    deadline = time.monotonic() + 20
    while _lives(head) and time.monotonic() < deadline:
        time.sleep(0.1)
    return head


@contextmanager
def head_lock(folder: Folder) -> Iterator[None]:
    """Keep the idle head from stopping, and other processes from starting one."""
    path = _lock_path(folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        lock.acquire(timeout=START_S)
    except OSError as error:  # Timeout is one
        raise cannot_write(path, error) from error
    try:
        yield
    finally:
        lock.release()


def _start(folder: Folder) -> JobHead:
    _clear_away(folder)
    log = _lock_path(folder).with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tune_app.jobs.job_head", folder.url],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={**inherited_environment(), **keys_of(folder.address)},
            start_new_session=True,  # Ctrl-C of the command that starts it must not reach it
        )
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        if (head := find_head(folder)) is not None and head.pid == process.pid:
            return head
        time.sleep(0.1)
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    lines = log.read_text(errors="replace").strip().splitlines()
    raise WorkFailed(
        f"could not start a Ray head on this machine: {lines[-1] if lines else 'it did not respond in time'}",
        hint=f"its log is {log}; to use a cluster, pass --address http://HEAD:8265",
    )


def _clear_away(folder: Folder) -> None:
    """Remove the files of a killed head."""
    content = folder.read(_name())
    if content is None:
        return
    with contextlib.suppress(ValueError, KeyError, TypeError):
        left = Path(json.loads(content)["token_path"]).parent
        if left.name.startswith(PREFIX):
            shutil.rmtree(left, ignore_errors=True)
    folder.remove(_name())


def _lives(head: JobHead) -> bool:
    host, _, port = head.address.removeprefix("http://").rpartition(":")
    try:
        os.kill(head.pid, 0)
        socket.create_connection((host, int(port)), timeout=2).close()
    except (OSError, ValueError, OverflowError):  # OSError: no such process, another user's, or nothing listens
        return False
    return True


def _name() -> str:
    return f"jobs/.heads/{socket.gethostname()}.json"


def _lock_path(folder: Folder) -> Path:
    if isinstance(folder, LocalFolder):
        return folder.root / "jobs" / ".heads" / f"{socket.gethostname()}.lock"
    known_as = hashlib.sha256(folder.url.encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"{PREFIX}{os.getuid()}-{known_as}.lock"


def main() -> None:
    """Run the head for the store in the arguments, until nobody needs it."""
    parser = argparse.ArgumentParser(prog="python -m tune_app.jobs.job_head")
    parser.add_argument("store")
    parser.add_argument("--idle", type=float, default=IDLE_S, help="end when no job has run for this many seconds")
    given = parser.parse_args()
    folder = open_folder(given.store)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    # Not TMPDIR: the paths of Ray's sockets must be short.
    private = tempfile.mkdtemp(prefix=PREFIX, dir="/tmp")
    try:
        _serve(folder, Path(private), given.idle)
    finally:
        shutil.rmtree(private, ignore_errors=True)


def _serve(folder: Folder, private: Path, idle_s: float) -> None:
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_TOKEN"):  # of other clusters
        os.environ.pop(name, None)
    token_path = private / "token"
    write_private(token_path, secrets.token_hex(32))
    # A separate one, because Ray looks there for "the" cluster of a machine, and there may be several; and inside the
    # private one, because Ray makes it world-readable.
    temporary = str(private / "ray")
    os.environ.update(
        {
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # the only way to bind everything to loopback on Linux
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token_path),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_JOB_START_TIMEOUT_SECONDS": "1e9",  # a job may wait for its turn as long as necessary
        }
    )
    os.environ.setdefault("RAY_JOB_STOP_WAIT_TIME_S", "8")  # Ray's default of 3 s is short for a sweep's last rows
    import ray._private.utils
    from ray._private.node import Node
    from ray._private.parameter import RayParams

    params = RayParams(
        include_dashboard=True,  # the job server is a part of it
        dashboard_host="127.0.0.1",
        dashboard_port=_free_port(),
        dashboard_agent_listen_port=0,
        include_log_monitor=False,
        no_monitor=True,
        temp_dir=temporary,
    )
    node = Node(params, head=True, shutdown_at_exit=True, spawn_reaper=True, ray_init_cluster=True)
    ray._private.utils.write_ray_address(node.gcs_address, temporary)
    head = JobHead(f"http://{node.webui_url}", node.gcs_address, os.getpid(), str(token_path))
    content = json.dumps(asdict(head)).encode()
    folder.write(_name(), content)
    try:
        _wait_until_idle(
            folder, content, idle_s, lambda: _is_busy(JobStore(folder), head.address), lambda: not node.dead_processes()
        )
    finally:
        if folder.read(_name()) == content:
            folder.remove(_name())
        node.kill_all_processes(check_alive=False, allow_graceful=True)


def _wait_until_idle(
    folder: Folder, content: bytes, idle_s: float, is_busy: Callable[[], bool], is_whole: Callable[[], bool]
) -> None:
    """Wait until nothing has run for `idle_s`, the file of this head is gone, or a part of it has died."""
    last_work = time.monotonic()
    while is_whole() and _is_known(folder, content):
        if is_busy():
            last_work = time.monotonic()
        elif time.monotonic() - last_work > idle_s:
            with head_lock(folder):
                if not is_busy():  # the holder of the lock may have submitted a job
                    folder.remove(_name())
                    return
        time.sleep(LOOK_S)


def _is_known(folder: Folder, content: bytes) -> bool:
    try:
        return folder.read(_name()) == content
    except TuneAppError:  # a temporarily unavailable store must not end the jobs
        return True


def _is_busy(records: JobStore, address: str) -> bool:
    """Whether a job or another driver is running or waiting; True if the job server or the store does not respond."""
    import requests
    from ray.job_submission import JobSubmissionClient

    try:
        found = JobSubmissionClient(address).list_jobs()
        return any(not job.status.is_terminal() and not _is_withdrawn(records, job) for job in found)
    except (RuntimeError, ConnectionError, requests.RequestException, TuneAppError):
        return True


def _is_withdrawn(records: JobStore, job: JobDetails) -> bool:
    """Whether it was cancelled in the queue: Ray never removes a job from it, and its process would end immediately."""
    job_id = (job.metadata or {}).get("tune_app_job")
    if str(job.status) != "PENDING" or job_id is None:
        return False
    return records.asked_to_stop(job_id) is not None or job_id not in records.ids()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
