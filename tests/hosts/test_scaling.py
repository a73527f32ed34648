"""A cluster whose machines start on demand, and a GPU share that is set to `auto`."""

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

import pandas as pd
import pytest

from tune_app.ray_backend.gpu_share import SPARE, trials_per_gpu
from tune_app.sweep.preflight import GpuMemory

SWEEPS = Path(__file__).parents[1] / "ray_backend"
"""The folder with these sweeps' task, which takes no time."""
SPACE = {
    "schema_version": 1,
    "name": "scaling",
    "task": "faulty:Faulty",
    "dataset": "none",
    "objective": {"metric": "score"},
    "budget": {"trials": 8, "epochs": 2},
    "search": {"sampler": "random"},
    "pruning": {"level": "off"},
    "parameters": {"training": {"level": {"type": "float", "low": 0.0, "high": 0.9}}},
}
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "disabled"}
START_S = 60


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def scaling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a head without CPUs; its autoscaler can start two nodes with two CPUs and one nominal GPU each."""
    folder = tmp_path_factory.mktemp("scaling")
    address = f"127.0.0.1:{free_port()}"
    node = {"CPU": 2, "GPU": 1, "object_store_memory": 200 * 2**20}
    lists = ["initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray"]
    cluster = {
        "cluster_name": "scaling",
        "max_workers": 2,
        # Ray's own fake cloud: its machines are processes.
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
    # A short path, because Ray's sockets are below it and their paths can have at most 107 characters.
    command = ["start", "--head", "--block", "--num-cpus=0", "--num-gpus=0", "--include-dashboard=false"]
    command += [f"--port={address.partition(':')[2]}", f"--autoscaling-config={folder / 'cluster.yaml'}"]
    command += ["--object-store-memory=200000000", "--node-ip-address=127.0.0.1"]
    environment = {**os.environ, **LOOPBACK, "RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    with open(folder / "log", "w") as log:
        head = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", *command],
            env=environment,
            cwd=SWEEPS,
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


def run(folder: Path, *options: str, address: str | None, preflight: bool = False) -> subprocess.CompletedProcess[str]:
    """Run ``tune-app run`` with these tests' search space, on the cluster at `address` or on this machine."""
    (folder / "space.json").write_text(json.dumps(SPACE))  # JSON is YAML
    command = ["run", str(folder / "space.json"), "--store", str(folder / "results"), *options]
    command += [] if preflight else ["--no-preflight"]
    command += ["--profiles", str(folder / "profiles"), *(["--address", address] if address else [])]
    environment = {**os.environ, **(LOOPBACK if address else {})}
    return subprocess.run(
        [sys.executable, "-m", "tune_app", *command],
        cwd=SWEEPS,
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
    )


def test_machines_are_requested_and_used(scaling: str, tmp_path: Path) -> None:
    done = run(tmp_path, "--gpus", "0.5", "--json", address=scaling, preflight=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["states"] == {"COMPLETED": 8}
    assert set(pd.read_parquet(tmp_path / "results" / "trials" / "study=scaling")["gpu_fraction"]) == {0.5}
    assert "time unknown until a node starts" in done.stderr
    assert "waiting for a node" in done.stderr


def test_a_trial_that_fits_on_no_machine_is_rejected(scaling: str, tmp_path: Path) -> None:
    done = run(tmp_path, "--gpus", "4", address=scaling)
    assert (done.returncode, done.stdout) == (2, "")
    assert "a trial needs 1 CPU and 4 GPUs on one node" in done.stderr


def test_auto_measures_where_the_gpu_is(scaling: str, tmp_path: Path) -> None:
    done = run(tmp_path, "--gpus", "auto", address=scaling)
    assert (done.returncode, done.stdout) == (2, "")
    assert "torch sees no GPU although Ray does" in done.stderr


def test_auto_without_a_gpu_trains_on_cpus(tmp_path: Path) -> None:
    done = run(tmp_path, "--gpus", "auto", "--trials", "2", address=None)
    assert done.returncode == 0, done.stderr
    assert "gpus: auto: no node has a GPU: trials train on CPUs" in done.stderr
    assert "gpus: 0.0" in (tmp_path / "results" / "studies" / "scaling" / "spec.yaml").read_text()


@pytest.mark.parametrize(("used", "count"), [(100, 8), (108, 8), (109, 7), (800, 1), (1000, 1)])
def test_as_many_trials_as_fit_with_some_to_spare(used: int, count: int) -> None:
    assert trials_per_gpu(GpuMemory(used, 1000)) == count
    assert count == 1 or count * used * (1 + SPARE) <= 1000
