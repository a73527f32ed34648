"""A cluster whose machines are started when they are asked for, and the share of a GPU that is left open."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tune_app.gpu_share import SPARE, trials_per_gpu
from tune_app.preflight import GpuMemory

LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "disabled"}
START_S = 60


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def scaling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A head without CPUs, whose autoscaler may start two nodes of two CPUs and one GPU in name; its address."""
    folder = tmp_path_factory.mktemp("scaling")
    address = f"127.0.0.1:{free_port()}"
    node = {"CPU": 2, "GPU": 1, "object_store_memory": 200 * 2**20}
    lists = ["initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray"]
    cluster = {
        "cluster_name": "scaling",
        "max_workers": 2,
        # Ray's own stand-in for a cloud: its machines are processes.
        "provider": {
            "type": "fake_multinode",
            "gcs_address": address,
            "launch_multiple": True,
            "disable_node_updaters": True,
        },
        "auth": {},
        "idle_timeout_minutes": 1,
        "upscaling_speed": 1.0,
        "head_node_type": "ray.head.default",
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "gpu": {"resources": node, "node_config": {}, "min_workers": 0, "max_workers": 2},
        },
        "file_mounts": {},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        **{f"{name}_commands": [] for name in lists},
    }
    (folder / "cluster.yaml").write_text(json.dumps(cluster))
    # A short path, because Ray's sockets lie below it and may have 107 characters.
    command = ["start", "--head", "--block", "--num-cpus=0", "--num-gpus=0", "--include-dashboard=false"]
    command += [f"--port={address.partition(':')[2]}", f"--autoscaling-config={folder / 'cluster.yaml'}"]
    command += ["--object-store-memory=200000000", "--node-ip-address=127.0.0.1"]
    environment = {**os.environ, **LOOPBACK, "RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    with open(folder / "log", "w") as log:
        head = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", *command],
            env=environment,
            cwd=Path(__file__).parent,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_S
    while b"Ray runtime started" not in (folder / "log").read_bytes():
        assert head.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.2)
    yield address
    os.killpg(head.pid, signal.SIGKILL)
    head.wait()


def test_machines_are_asked_for_and_used(scaling: str, command: Any, space_file: Any, tmp_path: Path) -> None:
    process = command(
        "run", space_file(), "--no-preflight", "--gpus", "0.5", "--concurrent", "auto", "--json", address=scaling
    )
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert json.loads(output)["states"] == {"COMPLETED": 8}
    trials = pd.read_parquet(tmp_path / "results" / "trials" / "study=faulty")
    assert set(trials["gpu_fraction"]) == {0.5}


def test_what_no_machine_of_it_can_hold_is_refused(scaling: str, command: Any, space_file: Any) -> None:
    process = command("run", space_file(), "--no-preflight", "--gpus", "4", address=scaling)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (2, "")
    assert "a trial needs 1 CPUs and 4 GPUs on one node" in errors


def test_auto_measures_where_the_gpu_is(scaling: str, command: Any, space_file: Any) -> None:
    process = command("run", space_file(), "--no-preflight", "--gpus", "auto", address=scaling)
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, output) == (2, "")
    assert "torch sees no GPU where Ray has one" in errors


def test_auto_without_a_gpu_trains_on_cpus(command: Any, space_file: Any, tmp_path: Path) -> None:
    process = command("run", space_file(budget={"trials": 2, "epochs": 1}), "--no-preflight", "--gpus", "auto")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "gpus: auto: no node has a GPU: trials train on CPUs" in errors
    assert "gpus: 0.0" in (tmp_path / "results" / "studies" / "faulty" / "spec.yaml").read_text()


@pytest.mark.parametrize(("used", "count"), [(100, 8), (108, 8), (109, 7), (800, 1), (1000, 1)])
def test_as_many_trials_as_fit_with_some_to_spare(used: int, count: int) -> None:
    assert trials_per_gpu(GpuMemory(used, 1000)) == count
    assert count == 1 or count * used * (1 + SPARE) <= 1000
