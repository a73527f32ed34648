"""None of the server's secrets appears in what a job leaves behind, shows, or starts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tune_app.jobs.job_head import JobHead, end_head, find_head
from tune_app.store.store import Store

REPOSITORY = Path(__file__).parents[2]
TOKEN = "marked-token-0123456789"
PASSWORD = "marked-password-0123456789"
WEBHOOK = "marked-webhook-0123456789"
SPACE = {
    "schema_version": 1,
    "name": "telling",
    "task": "telling:Telling",
    "dataset": "none",
    "objective": {"metric": "score"},
    "budget": {"trials": 500, "epochs": 20},
    "search": {"sampler": "random"},
    "pruning": {"level": "off"},
    "resources": {"concurrent": 1},
    "parameters": {"training": {"level": {"type": "float", "low": 0.0, "high": 0.9}, "pace": 0.1}},
}
TASK = """
import json, os
from faulty import Faulty

class Telling(Faulty):
    def train_epoch(self, *given):
        seen = os.environ["TUNE_APP_SEEN"]
        with open(seen + ".new", "w") as file:
            json.dump(dict(os.environ), file)
        os.replace(seen + ".new", seen)  # the test kills this process at any moment
        return super().train_epoch(*given)
"""


def until(holds: Callable[[], Any], seconds: float = 90) -> Any:
    """Wait until `holds()` is true; returns its value."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
    return found


@contextmanager
def served(project: Path, seen: Path) -> Iterator[httpx.Client]:
    """A server in `project` with both secrets in its environment; its output goes to a file there."""
    secrets = {
        "TUNE_APP_API_TOKEN": TOKEN,
        "TUNE_APP_DATA_MIRROR": f"http://someone:{PASSWORD}@127.0.0.1:9",
        "TUNE_APP_NOTIFY": f"http://127.0.0.1:9/{WEBHOOK}",
        "TUNE_APP_SEEN": str(seen),
    }
    with (project / "server.log").open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tune_app", "serve", "--port", "0", "--allow-class", "telling:Telling"],
            cwd=project,
            stderr=output,
            env={**os.environ, **secrets, "RAY_JOB_STOP_WAIT_TIME_S": "1"},
            umask=0o027,
        )
    try:
        said = until(lambda: (project / "server.log").read_text().partition("\n")[0], 30)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=said.split()[2].rstrip(","), headers=headers, timeout=60) as client:
            yield client
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def process_of(text: str) -> int:
    """The Python process with `text` in its command line."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in command and command.startswith(sys.executable):
            return int(path.parent.name)
    raise AssertionError(f"no process has `{text}` in its command line")


def command_lines() -> dict[str, str]:
    """The command line of every process, which anyone can see with `ps`."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found[str(path)] = path.read_bytes().decode(errors="replace")
        except OSError:  # it has ended
            continue
    return found


def answers(client: httpx.Client, job_id: str, head: JobHead) -> dict[str, str]:
    """What the server and Ray's job server say about a job."""
    of_job = [f"/jobs/{job_id}{part}" for part in ("", "/logs", "/trials", "/trials/0", "/best-model")]
    found = {path: client.get(path).text for path in ["/jobs", *of_job]}
    submission_id = client.get(f"/jobs/{job_id}").json()["submission_id"]
    shown = {"Authorization": f"Bearer {head.token()}"}
    for path in ("/api/jobs/", f"/api/jobs/{submission_id}/logs"):
        answer = httpx.get(f"{head.address}{path}", headers=shown, trust_env=False)
        assert submission_id in answer.text, "Ray must say something about the job"
        found[path] = answer.text
    return found


def files(folder: Path) -> dict[str, str]:
    """All files below a folder."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return {str(path): path.read_bytes().decode(errors="replace") for path in paths}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A user's folder with a task that writes down the environment of its process."""
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(REPOSITORY / "tests" / "ray_backend" / "faulty.py", folder)
    (folder / "telling.py").write_text(TASK)
    yield folder
    end_head(Store(folder / "results").folder)


def test_a_whole_job_shows_and_leaves_no_secret(project: Path, tmp_path: Path) -> None:
    with served(project, tmp_path / "seen") as client:
        asked = client.post("/jobs", json={"kind": "sweep", "space": yaml.safe_dump(SPACE), "preflight": False})
        assert asked.status_code == 202, asked.text
        job_id = asked.json()["id"]
        until(lambda: client.get(f"/jobs/{job_id}/trials", params={"state": "COMPLETED"}).json()["total"])
        head = find_head(Store(project / "results").folder)
        assert head is not None
        texts = {**command_lines(), **answers(client, job_id, head)}
        # Between two trials there is a moment when none runs; the next one then takes two seconds.
        until(lambda: client.get(f"/jobs/{job_id}/trials", params={"state": "RUNNING"}).json()["total"])
        os.kill(process_of(f"job_runner {project / 'results'} {job_id}"), signal.SIGKILL)
        until(lambda: client.get(f"/jobs/{job_id}").json()["state"] == "FAILED", 60)
        assert (
            "process was ended by SIGKILL; the last line it printed: "
            in client.get(f"/jobs/{job_id}").json()["message"]
        )
        running = client.get(f"/jobs/{job_id}/trials", params={"state": "RUNNING"}).json()
        assert running["total"] == client.get(f"/jobs/{job_id}").json()["progress"]["running"] == 0
        (stopped,) = client.get(f"/jobs/{job_id}/trials", params={"state": "CANCELLED"}).json()["items"]
        assert stopped["error"].endswith(f"`tune-app resume {job_id}` runs it again")
        texts |= {f"after {name}": text for name, text in answers(client, job_id, head).items()}
        texts |= {**files(project), **files(Path(head.token_path).parent)}
    for secret in (TOKEN, PASSWORD, WEBHOOK):
        assert not [name for name, text in texts.items() if secret in text]
    given = json.loads((tmp_path / "seen").read_text())
    assert PASSWORD in given["TUNE_APP_DATA_MIRROR"], "a job must have the settings that it needs"
    assert {"TUNE_APP_API_TOKEN", "TUNE_APP_NOTIFY"}.isdisjoint(given)
    assert not list(Path(head.token_path).parent.glob("*.json")), "the job must remove its settings"
    assert Path(head.token_path).stat().st_mode & 0o777 == 0o600
    kept = [path for path in (project / "results").rglob("*") if not path.name.startswith(".scratch-")]
    assert {oct(path.stat().st_mode & 0o777) for path in kept} == {"0o750", "0o640"}, "the umask must apply"
