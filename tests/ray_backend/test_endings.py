"""Sweeps that end before all trials are done, or never begin, and say why."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest


def test_the_time_budget_ends_the_sweep_and_keeps_what_is_finished(
    connected: str, run_space: Any, make_space: Any, tmp_path: Path
) -> None:
    pace = {"level": {"type": "float", "low": 0.0, "high": 0.9}, "pace": 0.15}
    budget = {"trials": 200, "epochs": 4, "time": 12}
    document = make_space(budget=budget, parameters={"training": pace})
    swept = run_space(tmp_path, document)
    assert swept.outcome.reason == "time"
    states = swept.trials["state"].value_counts()
    assert 0 < states["COMPLETED"] < 200
    assert states.get("CANCELLED", 0) <= 2


def test_the_fuse_stops_a_sweep_whose_first_trials_all_fail(
    connected: str, run_space: Any, make_space: Any, tmp_path: Path
) -> None:
    document = make_space(budget={"trials": 30, "epochs": 2})
    document["parameters"]["training"] = {**document["parameters"]["training"], "fault": "start"}
    swept = run_space(tmp_path, document, fuse=True)
    assert swept.outcome.reason == "fuse"
    assert "cannot be built" in swept.outcome.message
    assert 5 <= len(swept.trials) <= 8
    assert set(swept.trials["state"]) <= {"FAILED", "CANCELLED"}
    assert swept.outcome.best is None


def test_a_sweep_without_a_completed_trial_exits_with_1_and_keeps_its_name(
    command: Any, space_file: Any, tmp_path: Path
) -> None:
    document = {"budget": {"trials": 3, "epochs": 2}}
    space = space_file(**document)
    process = command("run", space, "--no-preflight", "--set", "training.fault=start", "--json")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert json.loads(output)["best"] is None
    assert "no trial of `faulty` completed" in errors
    assert "Traceback" not in errors
    again = command("run", space, address=None)
    output, errors = again.communicate(timeout=60)
    assert (again.returncode, output) == (2, "")
    assert "tune-app resume faulty" in errors
    assert "--name" in errors


def test_a_time_budget_that_ends_before_any_trial_completed_is_named(command: Any, space_file: Any) -> None:
    pace = {"level": {"type": "float", "low": 0.0, "high": 0.9}, "pace": 10.0}
    space = space_file(budget={"trials": 3, "epochs": 2, "time": 2}, parameters={"training": pace})
    process = command("run", space, "--no-preflight")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "error: the time budget is used up, and no trial of `faulty` completed" in errors


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_ends_the_sweep_with_a_message(command: Any, space_file: Any, tmp_path: Path) -> None:
    store = tmp_path / "results"
    store.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(store)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting is not permitted here")
    try:
        process = command("run", space_file(budget={"trials": 400, "epochs": 4}), "--no-preflight")
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "No space left" in errors
        said = errors.splitlines()
        assert said[-2].startswith("error: "), errors
        assert "free some space" in said[-1]
        assert not any(word in errors for word in ("Traceback", "Exception"))
        table = pd.read_parquet(store / "trials" / "study=faulty")
        assert table["trial"].is_unique
    finally:
        subprocess.run(["umount", str(store)], check=True)


def test_a_study_that_is_removed_while_it_runs_is_noticed_at_once(
    command: Any, space_file: Any, tmp_path: Path
) -> None:
    study = tmp_path / "results" / "studies" / "faulty"
    pace = {"level": {"type": "float", "low": 0.0, "high": 0.9}, "pace": 0.5}
    process = command("run", space_file(parameters={"training": pace}), "--no-preflight")
    deadline = time.monotonic() + 60
    while not (study / "events.jsonl").exists() or b"epochs" not in (study / "events.jsonl").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    study.rename(tmp_path / "gone")  # at once: a file that is written meanwhile would stop `rmtree`
    began = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert time.monotonic() - began < 10
    assert "its event log is gone" in errors
    assert "Traceback" not in errors
