"""A user's script in real sweeps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import yaml

from tune_app.profiles.profiles import Profiles
from tune_app.store.store import Store

HERE = Path(__file__).parent
SECTIONS: dict[str, Any] = {
    "task": "script",
    "command": ["python", str(HERE / "own_script.py"), "--out={trial_folder}"],
    "report": {
        "stdout": r"step (?P<step>\d+): score (?P<score>\S+), here (?P<here>\d+)",
        "every": 10,
        "skip": [0],
    },
    "resume": ["--resume"],
    "metrics": {"score": "maximize", "here": "maximize"},
    "parameters": {"training": {"level": {"type": "float", "low": 0.0, "high": 0.8, "default": 0.3}}},
}


def script_space(make_space: Any, **sections: Any) -> dict[str, Any]:
    document = make_space(**{**SECTIONS, **sections})
    del document["dataset"]
    return document


def running(*words: str) -> list[psutil.Process]:
    """Processes, except supervisors, whose command line contains one of the words."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if any(word in line for word in words) and "supervisor.py" not in line:
            found.append(process)
    return found


def wait_for(there: Callable[[], Any], limit_s: float) -> Any:
    deadline = time.monotonic() + limit_s
    while not (found := there()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def test_the_command_line_takes_a_script_to_a_profile_and_a_training(
    node: str, make_space: Any, tmp_path: Path
) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(yaml.safe_dump({**script_space(make_space), "name": "own", "budget": {"trials": 3, "epochs": 6}}))
    places = ["--store", str(tmp_path / "results"), "--profiles", str(tmp_path / "profiles")]

    def ran(*arguments: str) -> str:
        command = [sys.executable, "-m", "tune_app", *arguments, *places]
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "3 completed" in ran("run", str(space), "--no-preflight", "--address", node)
    trials = pd.read_parquet(tmp_path / "results" / "trials" / "study=own")
    assert trials["objective"].tolist() == pytest.approx((trials["config/training/level"] + 0.06).tolist())
    assert trials["seed"].isna().all()
    assert (trials["peak_memory_mb"] > 1).all()
    ran("profile", "save", "best", "--trial", "own", "--set", "training.level=0.5")
    assert Profiles(tmp_path / "profiles").load("best").config["level"] == 0.5
    assert "score                       0.52" in ran("train", "best", "--epochs", "2", "--name", "whole")
    training = tmp_path / "results" / "trainings" / "whole"
    assert (training / "files" / "step").read_text() == "60"  # it kept running so that it could save
    assert "step 60: score 0.56" in (training / "output.log").read_text()
    assert Store(tmp_path / "results").study("own").folder.read("studies/own/logs/000000.log")


def test_a_script_whose_worker_is_killed_ends_and_continues_from_its_folder(
    connected: str, run_space: Any, make_space: Any, tmp_path: Path, markers: Path
) -> None:
    document = script_space(make_space, budget={"trials": 1, "epochs": 6})
    level = {"type": "float", "low": 0.6123, "high": 0.6124}
    document["parameters"]["training"] = {"level": level, "pace": 0.7}
    killed: list[float] = []
    folders: list[Path] = []

    def kill() -> None:
        script = wait_for(lambda: running("--level=0.612"), 60)[0]
        folders.extend(Path(word[6:]) for word in script.cmdline() if word.startswith("--out="))
        wait_for(lambda: list(tmp_path.glob("studies/*/checkpoints/*.pt")), 60)
        mine = psutil.Process().children(recursive=True)
        next(process for process in mine if "ray::Worker" in " ".join(process.cmdline())).kill()
        began = time.monotonic()
        wait_for(lambda: not script.is_running() or script.status() == "zombie", 10)
        killed.append(time.monotonic() - began)

    thread = threading.Thread(target=kill)
    thread.start()
    trials = run_space(tmp_path, document).trials
    thread.join()
    wait_for(lambda: not running("--level=0.612", "sleep 600.612"), 10)
    assert folders
    assert killed
    assert killed[0] < 10
    row = trials.loc[0]
    assert (row["state"], row["attempt"], row["epochs"]) == ("COMPLETED", 2, 6)
    assert row["metric/here"] < 60
    assert not any(folder.exists() for folder in folders)


def test_no_process_is_left_when_the_driver_is_killed(make_space: Any, tmp_path: Path, markers: Path) -> None:
    space = tmp_path / "space.yaml"
    document = script_space(make_space, name="killed")
    level = {"type": "float", "low": 0.7123, "high": 0.7124}
    document["parameters"] = {"training": {"level": level, "pace": 30.0}}
    space.write_text(yaml.safe_dump(document))
    command = [sys.executable, "-m", "tune_app", "run", str(space), "--no-preflight", "--store", str(tmp_path / "r")]
    nothing = subprocess.DEVNULL
    driver = subprocess.Popen(command, cwd=HERE, stdout=nothing, stderr=nothing)
    try:
        wait_for(lambda: running("sleep 600.712"), 60)
    finally:
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
    began = time.monotonic()
    wait_for(lambda: not running("--level=0.712", "sleep 600.712"), 10)
    assert time.monotonic() - began < 10


def test_a_script_that_fails_is_a_failed_trial_with_its_last_lines(
    connected: str, run_space: Any, make_space: Any, tmp_path: Path
) -> None:
    level = {"type": "float", "low": 0.9, "high": 0.95}
    document = script_space(make_space, budget={"trials": 1, "epochs": 6}, parameters={"training": {"level": level}})
    (row,) = run_space(tmp_path, document).trials.to_dict("records")
    assert (row["state"], row["failure_kind"]) == ("FAILED", "error")
    assert row["error"] == "ScriptError: the script ended with exit code 4: no such level"
