"""The command `tune-app serve`: a real server, and a real job on a Ray head on this machine."""

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

from tune_app.jobs.job_head import end_head
from tune_app.store.store import Store

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
    """A server in a separate process, started in `folder`."""
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
        assert line.startswith("listening on http://127.0.0.1:"), line
        with httpx.Client(base_url=line.split()[2].rstrip(","), timeout=60) as client:
            yield client
    finally:
        process.send_signal(signal.SIGINT)
        left = process.communicate(timeout=30)[1]
    assert process.returncode == 130, left
    assert "Traceback" not in left


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A user's folder with their own task; the head that its jobs start ends with the tests."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(REPOSITORY / "tests" / "ray_backend" / "faulty.py", folder)
    yield folder
    end_head(Store(folder / "results").folder)


@pytest.fixture(scope="module")
def client(project: Path) -> Iterator[httpx.Client]:
    """A client of a server that allows this task."""
    with served(project, "--allow-class", "faulty:Faulty", RAY_JOB_STOP_WAIT_TIME_S="1") as found:
        yield found


@pytest.fixture(scope="module")
def job_id(client: httpx.Client) -> str:
    """A long sweep that was submitted over HTTP; some of its trials have ended."""
    overrides = {"trials": 5000, "set": {"training.pace": 0.1}}
    asked = {"kind": "sweep", "space": yaml.safe_dump(SPACE), "preflight": False, "overrides": overrides}
    began = time.monotonic()
    accepted = client.post("/jobs", json=asked)
    assert time.monotonic() - began < 10, "the response must not wait for the head"
    assert accepted.status_code == 202, accepted.text
    assert accepted.json() == {"id": "faulty-1", "study": "faulty-1", "state": "QUEUED"}
    deadline = time.monotonic() + 90
    while client.get("/jobs/faulty-1/trials", params={"state": "COMPLETED"}).json()["total"] < 2:
        assert time.monotonic() < deadline, client.get("/jobs/faulty-1").json()
        time.sleep(0.1)
    return "faulty-1"


def test_a_running_sweep_shows_its_progress_and_its_best_model(client: httpx.Client, job_id: str) -> None:
    job = client.get(f"/jobs/{job_id}").json()
    assert (job["state"], job["progress"]["total"]) == ("RUNNING", 5000)
    best = client.get(f"/jobs/{job_id}/best-model").json()
    assert [(layer["type"], layer["output_shape"]) for layer in best["layers"]] == [
        ("Linear", [4, 2]),
        ("Linear", [4, 1]),
    ]
    assert client.get(f"/jobs/{job_id}/best-model/download").content.startswith(b"PK")
    assert "first result" in client.get(f"/jobs/{job_id}/logs").text


def test_many_requests_are_answered_while_it_runs(client: httpx.Client, job_id: str) -> None:
    """Run the benchmark for a few seconds, with a limit that even a busy machine meets."""
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "api.py"), "--seconds", "2", "--at"]
    measured = subprocess.run(
        [*command, f"{client.base_url}/jobs/{job_id}"], capture_output=True, text=True, timeout=60
    )
    found = json.loads(measured.stdout)
    assert (found["requests"], found["failed"]) == (400, 0)
    assert found["p50_ms"] < 50, found


def test_cancelling_stops_it_within_seconds_and_all_its_events_arrive(client: httpx.Client, job_id: str) -> None:
    with connect(f"ws://{client.base_url.netloc.decode()}/jobs/{job_id}/events", max_queue=None) as socket:
        assert client.delete(f"/jobs/{job_id}").status_code == 409
        began = time.monotonic()
        assert client.post(f"/jobs/{job_id}/cancel").status_code == 202
        assert time.monotonic() - began < 2, "the response must not wait for the end"
        events = [json.loads(message) for message in socket]
        assert time.monotonic() - began < 25
    assert [event["number"] for event in events] == list(range(1, len(events) + 1))
    assert (events[-1]["type"], events[-1]["state"]) == ("job_ended", "CANCELLED")
    job = client.get(f"/jobs/{job_id}").json()
    assert (job["state"], job["reason"]) == ("CANCELLED", "cancelled")
    assert "127.0.0.1 over HTTP" in job["message"]
    ended = [event["trial"] for event in events if event["type"] == "trial_ended" and event["state"] == "COMPLETED"]
    kept = client.get(f"/jobs/{job_id}/trials", params={"state": "COMPLETED", "limit": 1000}).json()
    assert {trial["trial"] for trial in kept["items"]} == set(ended)


def test_a_class_whose_module_exits_is_rejected_with_a_message(project: Path) -> None:
    (project / "ending.py").write_text("import sys\nsys.exit('no license')\n")
    with served(project, "--allow-class", "ending:Faulty") as client:
        answer = client.post(
            "/jobs", json={"kind": "sweep", "space": yaml.safe_dump({**SPACE, "task": "ending:Faulty"})}
        )
        assert answer.status_code == 422
        assert "sys.exit('no license')" in answer.json()["error"]["message"]
        assert client.get("/jobs").status_code == 200


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
        (("--address", "head:8265"), "must be http://HOST:PORT"),
    ],
)
def test_it_does_not_start_with_invalid_options(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "TUNE_APP_API_TOKEN"}
    done = subprocess.run(
        [sys.executable, "-m", "tune_app", "serve", "--port", "0", *options],
        capture_output=True, text=True, timeout=60, cwd=tmp_path, env=environment,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 2
