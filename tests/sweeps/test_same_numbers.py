"""The same configurations give the same figures, to the last digit, in this process and on a cluster of two nodes."""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tune_app.spec import Spec
from tune_app.tasks import load_task
from tune_app.trial import Training, derive_seed

SPACE = {
    "schema_version": 1,
    "name": "same",
    "task": "image_cnn",
    "dataset": "digits",
    "budget": {"trials": 8, "epochs": 2},
    "search": {"sampler": "random", "seed": 5},
    "pruning": {"level": "off"},
    "resources": {"concurrent": 4},
    "parameters": {
        "architecture": {"filters": {"type": "int", "low": 2, "high": 8}, "dropout": 0.2},
        "training": {"learning_rate": {"type": "float", "low": 1e-4, "high": 0.1, "log": True}},
        "data": {"shift": {"type": "float", "low": 0.0, "high": 0.2}, "noise": 0.1},
    },
}


@pytest.fixture
def second_node(connected: str) -> Iterator[None]:
    """Another Ray node with two slots, at another address of this machine, for the while of a test."""
    command = [Path(sys.executable).parent / "ray", "start", "--address", connected, "--num-cpus", "2", "--block"]
    process = subprocess.Popen(
        [*command, "--node-ip-address", "127.0.0.2", "--disable-usage-stats"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while sum(node["Alive"] for node in ray.nodes()) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    (there,) = (node["NodeID"] for node in ray.nodes() if node["Alive"] and node["NodeManagerAddress"] == "127.0.0.2")
    _warm_up(there)
    yield
    process.terminate()
    process.wait(timeout=30)


def _warm_up(node: str) -> None:
    """Start workers there, or the eight trials are done before these come up."""

    def load() -> None:
        importlib.import_module("tune_app.trial")
        time.sleep(1)  # so that the two run in two processes

    pinned = NodeAffinitySchedulingStrategy(node, soft=False)
    task = ray.remote(load).options(scheduling_strategy=pinned)
    ray.get([task.remote(), task.remote()])


def test_eight_configurations_here_and_on_two_nodes(second_node: None, run_space: Any, tmp_path: Path) -> None:
    swept = run_space(tmp_path, SPACE)
    trials, epochs = swept.trials, swept.epochs
    assert set(trials["state"]) == {"COMPLETED"}
    assert trials["node"].nunique() == 2
    task = load_task("image_cnn")
    variables = Spec.from_dict(SPACE, "here").space.variables
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
