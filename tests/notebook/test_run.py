"""`tune_app.run`: a function that no import finds, swept from Python."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tune_app
from tune_app.errors import InputError

SCRIPT = """
import json, os
import tune_app
from ray import tune

OFFSET = 0.3

def train(config, report):
    assert os.getpid() != main, "it runs in a worker"
    for epoch in range(report.restore() + 1, report.epochs + 1):
        report({"loss": (config["lr"] - OFFSET) ** 2 + 1 / epoch + len(config["model"]["sizes"])})

main = os.getpid()
space = {"lr": tune.uniform(0, 1), "model": {"sizes": tune.choice([[1], [1, 2]])}}
common = {"space": space, "metrics": {"loss": "minimize"}, "epochs": 2, "check": False}
study = tune_app.run(train, trials=4, store="results", resources={"concurrent": 1}, pruning={"level": "off"}, **common)
best = study.best_config
print(json.dumps([study.name, study.outcome.states, best, float(study.best["objective"]), len(study.epochs)]))
"""


def tune(*arguments: str, folder: Path, exit_code: int) -> str:
    """What ``tune-app`` says in a process of its own."""
    command = [sys.executable, "-m", "tune_app", *arguments]
    told = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert told.returncode == exit_code, told.stderr
    return told.stderr


def quadratic(config: dict[str, Any], report: Any) -> None:
    """A function that can be imported."""
    for _ in range(report.epochs):
        report({"loss": config["x"]})


def test_a_function_of_a_script_is_sent_to_the_workers(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    told = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert told.returncode == 0, told.stderr
    name, states, best, loss, epochs = json.loads(told.stdout.splitlines()[-1])
    assert (name, states, epochs) == ("train", {"COMPLETED": 4}, 8)
    assert loss == pytest.approx((best["lr"] - 0.3) ** 2 + 0.5 + len(best["model"]["sizes"]))
    # Whoever has not the function says so, where it is needed.
    assert "is of a notebook or of a script that ran" in tune("resume", "train", folder=tmp_path, exit_code=2)
    tune("show", "train", folder=tmp_path, exit_code=0)


def test_what_is_wrong_is_said_before_anything_starts(tmp_path: Path) -> None:
    common: dict[str, Any] = {"metrics": {"loss": "minimize"}, "store": tmp_path}
    with pytest.raises(InputError, match="the smallest configuration cannot be trained"):
        tune_app.run(lambda config, report: 1 / 0, space={"x": tune_app.Float(0.0, 1.0)}, **common)
    with pytest.raises(InputError, match="must be a text, a finite number"):
        tune_app.run(quadratic, space={"x": {"type": "categorical", "choices": [float("nan")]}}, **common)
    with pytest.raises(InputError, match="a key must be one of"):
        tune_app.run(quadratic, space={"x": tune_app.Float(0.0, 1.0)}, prunning={}, **common)
    assert not (tmp_path / "studies").exists()
