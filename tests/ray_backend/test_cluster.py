"""Reaching a cluster, and what happens if there is none."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tune_app.errors import InputError
from tune_app.ray_backend.cluster import connected

CODE = """
import ray, socket
from ray._private.services import node_ip_address_from_perspective
from tune_app.ray_backend.cluster import connected
with connected("127.0.0.1:1", lambda error: print(error.message)):
    node = ray.nodes()[0]
    print(node["NodeManagerAddress"])
    try:
        socket.create_connection((node_ip_address_from_perspective(), node["NodeManagerPort"]), timeout=5)
    except OSError as error:
        print(type(error).__name__)
"""


def test_a_sweep_falls_back_to_this_machine_with_a_message_and_only_on_loopback() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "no Ray cluster answers at `127.0.0.1:1`: [Errno 111] Connection refused",
        "127.0.0.1",
        "ConnectionRefusedError",
    ]


@pytest.mark.parametrize("address", ["http://head:8265", "head", ":6379", "head:port"])
def test_an_invalid_cluster_address_is_rejected_without_falling_back(address: str) -> None:
    with pytest.raises(InputError, match="must be HOST:PORT") as caught, connected(address, pytest.fail):
        pass
    assert "`tune-app submit`" in caught.value.hint


def test_an_address_for_ray_clients_is_rejected_with_what_to_use_instead() -> None:
    with (
        pytest.raises(InputError, match="the client address `ray://head:1`") as caught,
        connected("ray://head:1", pytest.fail),
    ):
        pass
    assert "the address HOST:6379" in caught.value.hint
    assert "http://HOST:8265" in caught.value.hint


CLIENT = """
import sys, time
import ray, tune_app
from tune_app.errors import InputError

for _ in range(100):  # until its server is listening
    try:
        ray.init(sys.argv[1], logging_level="ERROR")
        break
    except ConnectionError:
        time.sleep(0.2)
try:
    tune_app.run(lambda config, report: None, space={"rate": [1, 2]}, metrics={"score": "maximize"})
except InputError as error:
    print(error)
"""


def test_a_notebook_that_is_connected_as_a_client_is_told_what_to_use_instead(node: str, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = [sys.executable, "-m", "ray.util.client.server", f"--address={node}", "--host=127.0.0.1"]
    server = subprocess.Popen([*program, f"--port={port}", "--mode=legacy"], stderr=subprocess.DEVNULL)
    try:
        command = [sys.executable, "-c", CLIENT, f"ray://127.0.0.1:{port}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    finally:
        server.kill()
        server.wait()
    assert "got a process that is connected as one" in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


ENVIRONMENT = """
import os, sys
import tune_app.training.trial  # what it sets is for cuBLAS
before = dict(os.environ)
from tune_app.errors import InputError, WorkFailed
from tune_app.ray_backend import backend, local_node
from tune_app.ray_backend.cluster import connected

def fails(*given, **more):
    raise RuntimeError("Failed to start GCS.  Last 0 lines of error files: and so on")

try:
    with connected("127.0.0.1:1"):
        pass
except InputError:
    assert dict(os.environ) == before
local_node.LocalNode, real = fails, local_node.LocalNode
try:
    with connected(None):
        pass
except WorkFailed as error:
    assert error.message == "Ray did not start on this machine: Failed to start GCS"
    assert dict(os.environ) == before
local_node.LocalNode = real
with connected(None):
    assert dict(os.environ) == before
assert dict(os.environ) == before
print("as before")
"""


@pytest.mark.parametrize("own", [{}, {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1", "RAY_USAGE_STATS_ENABLED": "1"}])
def test_the_environment_is_unchanged_whatever_happens(own: dict[str, str]) -> None:
    command = [sys.executable, "-c", ENVIRONMENT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **own})
    assert (done.stdout, done.returncode) == ("as before\n", 0), done.stderr


NODE = """
import os, psutil, signal, sys
from tune_app.ray_backend.cluster import connected
with connected(None):
    for process in psutil.Process().children(recursive=True):
        print(process.pid, *process.cmdline(), flush=True)
    if sys.argv[1] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
"""


def is_running(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def left_after(started: dict[int, str], seconds: float) -> list[str]:
    """The commands of the processes that still run after this many seconds."""
    deadline = time.monotonic() + seconds
    while any(map(is_running, started)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return [command for pid, command in started.items() if is_running(pid)]


@pytest.mark.parametrize("how", ["ended", "killed"])
def test_a_sweeps_node_leaves_no_process_behind(how: str) -> None:
    done = subprocess.run([sys.executable, "-c", NODE, how], capture_output=True, text=True, timeout=120)
    started = {int(line.split()[0]): line for line in done.stdout.splitlines()}
    others = [command for command in started.values() if "/gcs_server" not in command and "/raylet " not in command]
    assert len(started) == len(others) + 2
    assert not any("agent.py" in command or "/agent/" in command for command in others), "Ray's agents use up a core"
    assert left_after(started, 5) == []


def family_of(process: subprocess.Popen[str]) -> dict[int, str]:
    """The descendants of a process, each with its command."""
    found = {}
    for one in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has ended
            found[one.pid] = " ".join(one.cmdline())
    return found


def test_a_driver_killed_while_its_workers_start_leaves_no_process_behind() -> None:
    """On its own, a Ray worker tries for 25 s to reach the node that is gone."""
    process = subprocess.Popen([sys.executable, "-c", NODE, "ended"], stdout=subprocess.DEVNULL, text=True)
    deadline = time.monotonic() + 60
    started: dict[int, str] = {}
    while not any("_worker.py" in "".join(command.split()[1:2]) for command in started.values()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        started = family_of(process)
    process.kill()
    process.wait()
    assert left_after(started, 5) == []


OTHER_INTERNALS = """
import ray
from tune_app.ray_backend import local_node
from tune_app.ray_backend.cluster import connected

def differs(follow):
    raise AttributeError("Node has no start_raylet")

local_node.start_node = differs
with connected(None):
    print(ray.cluster_resources()["CPU"] > 0)
"""


def test_if_rays_internals_differ_ray_starts_the_node() -> None:
    done = subprocess.run([sys.executable, "-c", OTHER_INTERNALS], capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["True"]
    assert "differs inside (Node has no start_raylet)" in done.stderr


def test_a_folder_name_that_is_not_unicode_is_named_as_the_reason(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=120, cwd=folder)
    assert "InputError: the command and its folder must be Unicode" in done.stderr
