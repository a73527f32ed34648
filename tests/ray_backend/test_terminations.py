"""Sweeps that get a signal to terminate or whose Ray dies end cleanly within seconds and say how to continue."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from ray._private.ray_constants import ENABLE_RAY_CLUSTERS_ENV_VAR

from tune_app.environment import changed_environment
from tune_app.store.store import Store

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _hangup_ends() -> Iterator[None]:
    """Let SIGHUP end a test's processes as usual, even if `nohup` runs the tests, which would make them ignore it."""
    former = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, former)


@pytest.fixture
def sweeping(tmp_path: Path, space_file: Any) -> Iterator[Any]:
    """Start a sweep of slow trials in a separate session, and wait for its first result."""

    def start(*options: str, terminal: int | None = None) -> subprocess.Popen[bytes]:
        training = {"level": {"type": "float", "low": 0.0, "high": 0.9}, "pace": 0.5}
        space = space_file(parameters={"training": training}, resources={"concurrent": 2})
        command = [sys.executable, "-m", "tune_app", "run", space, "--no-preflight", "--store", str(store), *options]
        errors = os.open(tmp_path / "errors", os.O_CREAT | os.O_WRONLY) if terminal is None else os.dup(terminal)
        process = subprocess.Popen(
            command,
            cwd=HERE,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
            preexec_fn=None if terminal is None else lambda: fcntl.ioctl(2, termios.TIOCSCTTY, 0),
        )
        os.close(errors)
        started.append(process)
        log = store / "studies" / "faulty" / "events.jsonl"
        deadline = time.monotonic() + 60
        while not (log.exists() and b'"type": "epochs"' in log.read_bytes()):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return process

    store = tmp_path / "results"
    started: list[subprocess.Popen[bytes]] = []
    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


def check_whole(store: Path, reason: str) -> None:
    """Check that every trial that started has a row, with some cancelled, and that the study has ended."""
    study = Store(store).study("faulty")
    events = [json.loads(line) for line in (store / study.base / "events.jsonl").read_bytes().splitlines()]
    begun = {event["trial"] for event in events if event["type"] == "trial_started"}
    trials = pd.read_parquet(study.trials_path).set_index("trial")
    assert set(trials.index) == begun
    assert "CANCELLED" in set(trials["state"])
    assert (events[-1]["type"], events[-1]["reason"]) == ("sweep_ended", reason)
    live = study.json("live.json")
    assert (live["state"], live["running"]) == ("ended", [])


def test_a_signal_to_the_whole_group_ends_it_within_seconds(sweeping: Any, tmp_path: Path) -> None:
    """The way `timeout` and a shell send it."""
    process = sweeping()
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGTERM)
    status = process.wait(timeout=30)
    took = time.monotonic() - began
    said = (tmp_path / "errors").read_text()
    assert status == 143, said
    assert took < 5
    assert "tune-app resume faulty" in said
    assert "Traceback" not in said
    check_whole(tmp_path / "results", "terminate")


def test_a_terminal_that_is_closed_ends_it_cleanly(sweeping: Any, tmp_path: Path) -> None:
    ours, terminal = os.openpty()
    process = sweeping(terminal=terminal)
    os.close(terminal)
    os.close(ours)
    assert process.wait(timeout=10) == 143
    check_whole(tmp_path / "results", "terminate")


@pytest.mark.parametrize("part", ["gcs_server", "raylet"])
def test_a_ray_that_dies_is_reported_in_one_error(sweeping: Any, tmp_path: Path, part: str) -> None:
    process = sweeping()
    began = time.monotonic()
    next(p for p in psutil.Process(process.pid).children() if p.name() == part).kill()
    assert process.wait(timeout=60) == 1
    assert time.monotonic() - began < 15
    errors = (tmp_path / "errors").read_text().splitlines()
    assert [line for line in errors if line.startswith("error: ")] == errors[-2:-1]
    assert "died" in errors[-2]
    assert "tune-app resume faulty" in errors[-1]
    check_whole(tmp_path / "results", "lost")


@pytest.mark.parametrize("after_s", [0.0, 0.55], ids=["at once", "while the driver registers"])
def test_a_head_that_dies_while_ray_starts_is_reported_in_one_error(
    tmp_path: Path, space_file: Any, after_s: float
) -> None:
    space = space_file(parameters={"training": {"level": {"type": "float", "low": 0.0, "high": 0.9}}})
    command = [sys.executable, "-m", "tune_app", "run", space, "--no-preflight", "--store", str(tmp_path / "results")]
    process = subprocess.Popen(command, cwd=HERE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        while not (heads := [p for p in psutil.Process(process.pid).children() if p.name() == "gcs_server"]):
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(after_s)
        heads[0].kill()
        _, errors = process.communicate(timeout=15)
    finally:
        process.kill()
    assert process.returncode == 1
    assert sum(line.startswith("error: ") for line in errors.splitlines()) == 1, errors
    assert "Traceback" not in errors


@contextmanager
def node_elsewhere() -> Iterator[tuple[str, psutil.Process]]:
    """Another process's node: its address and GCS. A minute after a GCS dies, Ray ends the process that started it."""
    code = (
        "from tune_app.ray_backend.local_node import start_node\n"
        "node = start_node()\n"
        "print(node.address, node.all_processes['gcs_server'][0].process.pid, flush=True)\n"
        "input()"
    )
    starter = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with starter:
        assert starter.stdout is not None
        address, pid = starter.stdout.readline().split()
        try:
            yield address, psutil.Process(int(pid))
        finally:
            starter.kill()  # its processes end with it


def test_a_cluster_that_dies_is_reported_in_one_error(sweeping: Any, tmp_path: Path) -> None:
    """A cluster that the sweep did not start counts as dead if it does not respond for some seconds."""
    with node_elsewhere() as (address, gcs):
        with changed_environment({ENABLE_RAY_CLUSTERS_ENV_VAR: "0"}):  # lets a command find a node on loopback
            process = sweeping("--address", address)
        began = time.monotonic()
        gcs.kill()
        assert process.wait(timeout=60) == 1
        assert time.monotonic() - began < 15
    assert "the head of the Ray cluster died" in (tmp_path / "errors").read_text()
    check_whole(tmp_path / "results", "lost")
