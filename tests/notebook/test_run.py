"""`tune_app.run`: a function that cannot be imported, swept from Python."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import threading
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
assert repr(study).startswith("<study train in ") and repr(study).endswith("results: 4 completed>"), repr(study)
print(json.dumps([study.name, study.outcome.states, best, float(study.best["objective"]), len(study.epochs)]))
"""


def tune(*arguments: str, folder: Path, exit_code: int) -> str:
    """Run ``tune-app`` in a separate process; returns its standard error."""
    command = [sys.executable, "-m", "tune_app", *arguments]
    told = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert told.returncode == exit_code, told.stderr
    return told.stderr


def quadratic(config: dict[str, Any], report: Any) -> None:
    """A function that can be imported."""
    for _ in range(report.epochs):
        report({"loss": config["x"]})


def test_a_function_in_a_script_is_sent_to_the_workers(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    told = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert told.returncode == 0, told.stderr
    name, states, best, loss, epochs = json.loads(told.stdout.splitlines()[-1])
    assert (name, states, epochs) == ("train", {"COMPLETED": 4}, 8)
    assert loss == pytest.approx((best["lr"] - 0.3) ** 2 + 0.5 + len(best["model"]["sizes"]))
    # A process that lacks the function says so if it needs it.
    assert "is from a notebook or a script" in tune("resume", "train", folder=tmp_path, exit_code=2)
    tune("show", "train", folder=tmp_path, exit_code=0)


def test_mistakes_are_reported_before_anything_starts(tmp_path: Path, make_study: Any, make_spec: Any) -> None:
    common: dict[str, Any] = {"metrics": {"loss": "minimize"}, "store": tmp_path}
    with pytest.raises(InputError, match="the smallest configuration cannot be trained"):
        tune_app.run(lambda config, report: 1 / 0, space={"x": tune_app.Float(0.0, 1.0)}, **common)
    with pytest.raises(InputError, match="must be a string, a finite number"):
        tune_app.run(quadratic, space={"x": {"type": "categorical", "choices": [float("nan")]}}, **common)
    with pytest.raises(InputError, match=r"must be a function, but got a functools.partial"):
        tune_app.run(functools.partial(quadratic), space={"x": 1}, **common)
    with pytest.raises(InputError, match="must take a configuration and a report"):
        tune_app.run(lambda config: None, space={"x": 1}, **common)
    lock = threading.Lock()
    with pytest.raises(InputError, match="must be a function that can be sent to workers, but cannot pickle"):
        tune_app.run(lambda config, report: lock, space={"x": 1}, **common)
    with pytest.raises(InputError, match="a key must be one of"):
        tune_app.run(quadratic, space={"x": tune_app.Float(0.0, 1.0)}, prunning={}, **common)
    assert not (tmp_path / "studies").exists()
    make_study(tmp_path, make_spec(name="mine"))
    with pytest.raises(InputError, match="the study `mine` exists") as caught:
        tune_app.run(quadratic, space={"x": tune_app.Float(0.0, 1.0)}, name="mine", **common)
    assert "--name, in Python `name=…`" in caught.value.hint


def test_a_sweep_in_another_thread_is_refused(tmp_path: Path) -> None:
    told: list[str] = []

    def begin() -> None:
        try:
            tune_app.run(quadratic, space={"x": 1}, metrics={"loss": "minimize"}, store=tmp_path)
        except InputError as error:
            told.append(error.message)

    thread = threading.Thread(target=begin)
    thread.start()
    thread.join()
    assert "in the main thread" in told[0]


ELSEWHERE = """
import sys
sys.path.insert(0, "elsewhere")
import mine, ray, tune_app
from tune_app.errors import TuneAppError

ray.init(sys.argv[1], log_to_driver=False, logging_level="ERROR")
common = {"space": {"x": tune_app.Float(0.0, 1.0)}, "metrics": {"loss": "minimize"}, "epochs": 1, "trials": 2}
print(tune_app.run(mine.tune, **common, resources={"concurrent": 1}).best_config.keys())
for error in ({"function": mine.broken, "check": False}, {"function": mine.tune, "address": "local"}):
    try:
        tune_app.run(**error, **common, pruning={"level": "off"})
    except TuneAppError as error:
        print(error.message)
alive = ray._private.state.actors().values()
print([actor["ActorClassName"] for actor in alive if actor["State"] == "ALIVE"])
"""


def test_a_module_in_another_folder_on_a_cluster_that_the_user_has_connected_to(node: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.py").write_text(
        "OFFSET = 1\ndef loss(x): return x + OFFSET\n"
        "def tune(config, report): report({'loss': loss(config['x'])})\n"
        "def broken(config, report): raise ValueError('it is broken')\n"
    )
    (tmp_path / "script.py").write_text(ELSEWHERE)
    told = subprocess.run(
        [sys.executable, "script.py", node], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert told.returncode == 0, told.stderr
    found, failed, connected, left = told.stdout.splitlines()[-4:]
    assert found == "dict_keys(['x'])"
    assert "no trial of `broken` completed; the first failure: ValueError: it is broken" in failed
    assert connected.startswith("`address` must be omitted if this process is already connected")
    assert left == "[]", "the sweeps must leave no actors behind"
