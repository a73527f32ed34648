"""The start of a worker by itself: it never outlives its raylet, not even while it is still starting."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tune_app.ray_backend import start_worker

ID = "1" * 56
ARGUMENTS = (
    *("--node-ip-address=127.0.0.1", "--node-manager-port=1", "--object-store-name=/nowhere", "--raylet-name=/nowhere"),
    *("--gcs-address=127.0.0.1:1", "--redis-address=", f"--cluster-id={ID}", f"--node-id={ID}", f"--worker-id={ID}"),
    *("--metrics-agent-port=-1", "--runtime-env-agent-port=0", "--worker-launch-time-ms=0", "--worker-type=WORKER"),
)
"""What a raylet passes to a worker; Ray's program tries to reach this node for many seconds."""
RAYLET = """
import os, subprocess, sys
os.environ["RAY_RAYLET_PID"] = str(os.getpid())
worker = subprocess.Popen([sys.executable, *sys.argv[1:]], stderr=subprocess.DEVNULL)
print(worker.pid, flush=True)
worker.wait()
"""
"""In the place of a raylet: starts a worker and waits for it."""
GONE_S = 5.0


def is_running(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("after_s", [0.0, 0.5, 3.0])
def test_a_worker_dies_with_its_raylet_while_it_starts(after_s: float) -> None:
    program = [sys.executable, "-c", RAYLET, start_worker.__file__, *ARGUMENTS]
    raylet = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    assert raylet.stdout is not None
    with raylet.stdout:
        worker = psutil.Process(int(raylet.stdout.readline()))
    time.sleep(after_s)
    assert is_running(worker), "it waits for its node"
    raylet.send_signal(signal.SIGKILL)
    raylet.wait()
    deadline = time.monotonic() + GONE_S
    while is_running(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(worker)


def test_a_worker_whose_raylet_died_first_does_nothing() -> None:
    environment = {**os.environ, "RAY_RAYLET_PID": "1"}
    began = time.monotonic()
    done = subprocess.run([sys.executable, start_worker.__file__, *ARGUMENTS], env=environment, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")
    assert time.monotonic() - began < GONE_S, "it does not look for its node"
