"""What is sent to a worker for each trial."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ray import cloudpickle
from ray.air.execution._internal import RayActorManager

from tune_app.ray_backend.local_node import PRELOADED

LIMIT_BYTES = 1024
SPACE: dict[str, Any] = {
    "schema_version": 1,
    "name": "payload",
    "task": "image_cnn",
    "dataset": "digits",
    "objective": {"metric": "val_accuracy"},
    "budget": {"trials": 4, "epochs": 1},
    "search": {"sampler": "random"},
    "pruning": {"level": "off"},
    "resources": {"concurrent": 2},
    "parameters": {
        "architecture": {"filters": {"type": "categorical", "choices": [2, 4]}},
        "training": {"learning_rate": {"type": "float", "low": 1e-4, "high": 0.1, "log": True}, "batch_size": 500},
    },
}


def test_a_trial_costs_less_than_one_kilobyte(
    connected: str, run_space: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_actor, schedule = RayActorManager.add_actor, RayActorManager.schedule_actor_task

    def add(self: RayActorManager, cls: Any, kwargs: dict[str, Any], *args: Any, **given: Any) -> Any:
        starts.append(len(cloudpickle.dumps(kwargs)))
        return add_actor(self, cls, kwargs, *args, **given)

    def task(self: RayActorManager, *args: Any, **given: Any) -> Any:
        call = inspect.signature(schedule).bind(self, *args, **given).arguments
        sizes = resets if call["method_name"] == "reset" else others
        sizes.append(len(cloudpickle.dumps((call.get("args"), call.get("kwargs")))))
        return schedule(self, *args, **given)

    starts: list[int] = []  # a worker's first trial
    resets: list[int] = []  # its later ones
    others: list[int] = []  # each step of a trial
    monkeypatch.setattr(RayActorManager, "add_actor", add)
    monkeypatch.setattr(RayActorManager, "schedule_actor_task", task)
    swept = run_space(tmp_path, SPACE)
    assert set(swept.trials["state"]) == {"COMPLETED"}

    print(f"bytes: {starts=} {resets=} others={sorted(set(others))}")
    assert starts
    assert resets
    assert max(starts + resets) + max(others) < LIMIT_BYTES


def test_a_worker_starts_without_what_only_the_driver_uses() -> None:
    code = f"import sys, {PRELOADED}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert {"torch", "ray"} <= modules
    assert not modules & {"ray.tune", "ray.data", "pandas", "torch._dynamo"}
