"""The command `tune-app serve`: a real server, and a real job on a Ray head of this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from websockets.sync.client import connect

from tune_app.job_head import end_head
from tune_app.store import Store

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
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


@contextmanager
def served(folder: Path, *options: str, **environment: str) -> Iterator[httpx.Client]:
    """A server in a process of its own, started in `folder`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tune_app", "serve", "--port", "0", *options],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        assert line.startswith("listening at http://127.0.0.1:"), line
        with httpx.Client(base_url=line.split()[2].rstrip(","), timeout=60) as client:
            yield client
    finally:
        process.send_signal(signal.SIGINT)
        left = process.communicate(timeout=30)[1]
    assert process.returncode == 130, left
    assert "Traceback" not in left


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A user's folder with a task of their own; the head that its jobs start ends with the tests."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(REPOSITORY / "tests" / "sweeps" / "faulty.py", folder)
    yield folder
    end_head(Store(folder / "results").folder)


@pytest.fixture(scope="module")
def client(project: Path) -> Iterator[httpx.Client]:
    """A client of a server that lets that task in."""
    with served(project, "--allow-class", "faulty:Faulty", RAY_JOB_STOP_WAIT_TIME_S="1") as found:
        yield found


def until_ended(client: httpx.Client, job_id: str, seconds: float = 90) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while (job := client.get(f"/jobs/{job_id}").json())["state"] in ("QUEUED", "RUNNING"):
        assert time.monotonic() < deadline, job
        time.sleep(0.1)
    return dict(job)


def test_a_sweep_from_the_request_to_its_weights(client: httpx.Client, project: Path) -> None:
    asked = {"kind": "sweep", "space": yaml.safe_dump(SPACE), "preflight": False}
    began = time.monotonic()
    accepted = client.post("/jobs", json=asked)
    assert accepted.status_code == 202, accepted.text
    assert time.monotonic() - began < 10, "the answer does not wait for the head"
    assert accepted.json() == {"id": "faulty-1", "study": "faulty-1", "state": "QUEUED"}
    with connect(f"ws://{client.base_url.netloc.decode()}/jobs/faulty-1/events") as socket:
        events = [json.loads(message) for message in socket]
    assert [event["number"] for event in events] == list(range(1, 3 * 4 + 2))
    assert (events[-1]["type"], events[-1]["state"]) == ("job_ended", "SUCCEEDED")
    job = until_ended(client, "faulty-1")
    assert (job["progress"]["ended"], job["progress"]["total"], job["exit_code"]) == (3, 3, 0)
    assert client.get("/jobs/faulty-1/trials").json()["total"] == 3
    best = client.get("/jobs/faulty-1/best-model").json()
    assert [(layer["type"], layer["output_shape"]) for layer in best["layers"]] == [
        ("Linear", [4, 2]),
        ("Linear", [4, 1]),
    ]
    assert client.get("/jobs/faulty-1/best-model/download").content.startswith(b"PK")
    assert "faulty-1: 3 completed" in client.get("/jobs/faulty-1/logs").text


def test_a_long_sweep_is_watched_by_many_and_then_cancelled(client: httpx.Client) -> None:
    """The benchmark itself for a few seconds, with a bound that a busy machine keeps to, too."""
    overrides = {"trials": 5000, "set": {"training.pace": 0.1}}
    asked = {"kind": "sweep", "space": SPACE, "preflight": False, "overrides": overrides}
    job_id = client.post("/jobs", json=asked).json()["id"]
    deadline = time.monotonic() + 60
    while client.get(f"/jobs/{job_id}/trials", params={"state": "COMPLETED"}).json()["total"] < 1:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "api.py"), "--seconds", "5", "--at"]
    measured = subprocess.run(
        [*command, f"{client.base_url}/jobs/{job_id}"], capture_output=True, text=True, timeout=60
    )
    found = json.loads(measured.stdout)
    assert (found["requests"], found["failed"]) == (1000, 0)
    assert found["p50_ms"] < 50, found
    began = time.monotonic()
    assert client.post(f"/jobs/{job_id}/cancel").status_code == 202
    assert time.monotonic() - began < 1
    assert client.delete(f"/jobs/{job_id}").status_code == 409
    job = until_ended(client, job_id, 25)
    assert (job["state"], job["reason"]) == ("CANCELLED", "cancelled")
    assert "127.0.0.1 over HTTP" in job["message"]
    assert 1 <= client.get(f"/jobs/{job_id}/trials", params={"state": "COMPLETED"}).json()["total"] < 5000


def test_it_starts_within_seconds_without_torch(tmp_path: Path) -> None:
    script = "import sys, tune_app.api.app; print([n for n in ('torch', 'ray') if n in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--host", "0.0.0.0"), "a token is required"),
        (("--host", "192.0.2.1"), "must be able to listen"),
        (("--token-file", "none"), "must be readable"),
        (("--store", "nowhere://x"), "the store must be"),
    ],
)
def test_it_does_not_start_wrongly(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "TUNE_APP_API_TOKEN"}
    done = subprocess.run(
        [sys.executable, "-m", "tune_app", "serve", "--port", "0", *options],
        capture_output=True, text=True, timeout=60, cwd=tmp_path, env=environment,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 2
