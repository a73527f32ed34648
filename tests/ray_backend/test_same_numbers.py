"""The same configurations give the same figures, to the last digit, in this process and on a cluster of two nodes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ray._raylet import GcsClient
from ray.util import get_node_ip_address

from tune_app.document import Document
from tune_app.tasks import load_task
from tune_app.tasks.spec_file import read_spec
from tune_app.training.seed import derive_seed
from tune_app.training.trial import Training

SPACE = {
    "schema_version": 1,
    "name": "same",
    "task": "image_cnn",
    "dataset": "digits",
    "budget": {"trials": 8, "epochs": 2},
    "search": {"sampler": "random", "seed": 5},
    "pruning": {"level": "off"},
    "resources": {"concurrent": 2},
    "parameters": {
        "architecture": {"filters": {"type": "int", "low": 2, "high": 8}, "dropout": 0.2},
        "training": {"learning_rate": {"type": "float", "low": 1e-4, "high": 0.1, "log": True}},
        "data": {"shift": {"type": "float", "low": 0.0, "high": 0.2}, "noise": 0.1},
    },
}


@pytest.fixture
def two_nodes() -> Iterator[str]:
    """The head's address of a cluster: two Ray nodes on this machine, at two addresses, with one slot each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    head = f"{get_node_ip_address()}:{port}"
    # A node on loopback, as sweeps on this machine start it, accepts no second one.
    environment = {**os.environ, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1", "RAY_AUTH_MODE": "disabled"}
    common = [sys.executable, "-m", "ray.scripts.scripts", "start", "--num-cpus=1", "--disable-usage-stats", "--block"]
    common += ["--dashboard-agent-listen-port=0"]  # its fixed port is taken by the other node
    nodes = (
        ["--head", f"--port={port}", "--include-dashboard=false"],
        [f"--address={head}", "--node-ip-address=127.0.0.2"],
    )
    started = []
    try:
        for options in nodes:
            started.append(
                subprocess.Popen(
                    [*common, *options], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
            )
            # The second node would wait for five seconds if the first does not answer yet.
            _wait_until(lambda: _nodes(head) >= 0)
        _wait_until(lambda: _nodes(head) == len(nodes))
        yield head
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(timeout=60)


def _nodes(address: str) -> int:
    """How many nodes the cluster has; -1 while it does not answer."""
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return -1
    return len(GcsClient(address=address).get_all_node_info())


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "the cluster did not come up"
        time.sleep(0.1)


def test_eight_configurations_give_the_same_figures_here_and_on_two_nodes(two_nodes: str, tmp_path: Path) -> None:
    (tmp_path / "space.json").write_text(json.dumps(SPACE))  # JSON is YAML
    command = [sys.executable, "-m", "tune_app", "run", str(tmp_path / "space.json"), "--no-preflight"]
    done = subprocess.run(
        [*command, "--address", two_nodes, "--store", str(tmp_path)],
        env={**os.environ, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1", "RAY_AUTH_MODE": "disabled"},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr
    trials = pd.read_parquet(tmp_path / "trials" / "study=same").set_index("trial", drop=False)
    epochs = pd.read_parquet(tmp_path / "epochs" / "study=same")
    assert set(trials["state"]) == {"COMPLETED"}
    assert trials["node"].nunique() == 2
    task = load_task("image_cnn")
    variables = read_spec(Document.of(SPACE, "here")).space.variables
    data = task.load_data("digits").without_test()
    for number, row in trials.iterrows():
        config = {v.name: row[f"config/{v.group}/{v.name}"] for v in variables}
        plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in config.items()}
        seed = derive_seed(5, int(str(number)))
        training = Training(task, plain, data, epochs=2, seed=seed, threads=1)
        there = epochs[epochs["trial"] == number].sort_values("epoch")
        for _, found in there.iterrows():
            here = training.run_epoch()
            assert {name: found[f"metric/{name}"] for name in here.metrics} == here.metrics
            health = {name: value for name, value in here.health.items() if value is not None}
            assert {name: found[f"health/{name}"] for name in health} == health
