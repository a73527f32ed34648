"""Sweeps that are cut short and then resumed run exactly the trials that were requested."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tune_app.store.store import Store

TRIALS = 8
SLOW = {"budget": {"trials": TRIALS, "epochs": 4}, "resources": {"concurrent": 2}, "parameters": {"training": {
    "level": {"type": "float", "low": 0.0, "high": 0.9}, "pace": 0.15,
}}}  # fmt: skip


def events(store: Path) -> list[dict[str, Any]]:
    path = store / "studies" / "faulty" / "events.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def wait_for(store: Path, reached: Callable[[list[dict[str, Any]]], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not reached(events(store)):
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline, "it never got that far"
        time.sleep(0.02)


def count(kind: str) -> Callable[[list[dict[str, Any]]], int]:
    return lambda found: sum(event["type"] == kind for event in found)


def check_whole(store: Path, trials: int) -> pd.DataFrame:
    table = pd.read_parquet(store / "trials" / "study=faulty")
    epochs = pd.read_parquet(store / "epochs" / "study=faulty")
    assert sorted(table["trial"]) == list(range(trials))
    assert set(table["state"]) == {"COMPLETED"}
    assert not epochs.duplicated(["trial", "epoch"]).any()
    assert len(epochs) == table["epochs"].sum()
    journal = JournalStorage(JournalFileBackend(str(store / "studies" / "faulty" / "optuna.journal")))
    known = optuna.load_study(study_name="faulty", storage=journal).trials
    assert sorted(t.user_attrs["trial"] for t in known) == list(range(trials))
    assert all(t.state == optuna.trial.TrialState.COMPLETE for t in known)
    return table


MOMENTS = {
    "before the first trial": lambda found: count("sweep_started")(found) >= 1,
    "when the first trial started": lambda found: count("trial_started")(found) >= 1,
    "in the middle of a trial": lambda found: count("epochs")(found) >= 3,
    "between trials": lambda found: count("trial_ended")(found) >= 3,
    # Not when all but one have ended: the last two may end together, before the signal arrives.
    "when the last trial started": lambda found: count("trial_started")(found) >= TRIALS,
}


def test_a_driver_killed_at_five_moments_loses_nothing(command: Any, space_file: Any, tmp_path: Path) -> None:
    store = tmp_path / "results"
    arguments: tuple[str, ...] = ("run", space_file(**SLOW), "--no-preflight")
    for moment, reached in MOMENTS.items():
        process = command(*arguments)
        wait_for(store, reached, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        ended = {e["row"]["trial"] for e in events(store) if e["type"] == "trial_ended"}
        assert len(ended) < TRIALS, moment
        visible = pd.read_parquet(store / "trials" / "study=faulty")
        assert visible["trial"].is_unique
        assert set(visible["trial"]) <= ended
        arguments = ("resume", "faulty")

    resumed = command(*arguments)
    _, errors = resumed.communicate(timeout=60)
    assert resumed.returncode == 0, errors
    table = check_whole(store, TRIALS).set_index("trial")
    log = events(store)
    ends = [e["row"]["trial"] for e in log if e["type"] == "trial_ended"]
    assert sorted(ends) == list(range(TRIALS)), "a finished trial was run again"
    for event in log:
        if event["type"] == "trial_started":
            assert table.loc[event["trial"], "config/training/level"] == event["config"]["level"], "a trial changed"
            assert table.loc[event["trial"], "seed"] == event["seed"]


def test_one_interrupt_finishes_running_trials_and_resume_continues_even_with_more(
    command: Any, space_file: Any, tmp_path: Path
) -> None:
    store = tmp_path / "results"
    process = command("run", space_file(**SLOW), "--no-preflight")
    wait_for(store, lambda found: count("trial_ended")(found) >= 2, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "tune-app resume faulty" in errors
    assert "Traceback" not in errors
    table = pd.read_parquet(store / "trials" / "study=faulty")
    assert set(table["state"]) == {"COMPLETED"}, "a running trial was cut short"
    started = {e["trial"] for e in events(store) if e["type"] == "trial_started"}
    assert set(table["trial"]) == started
    assert len(table) < TRIALS

    resumed = command("resume", "faulty")
    assert resumed.wait(timeout=60) == 0
    before = check_whole(store, TRIALS)

    added = command("resume", "faulty", "--trials", "2", "--retry", "1", "--json")
    output, _ = added.communicate(timeout=60)
    assert json.loads(output)["states"] == {"COMPLETED": TRIALS + 3}
    after = check_whole(store, TRIALS + 3)
    kept = after[after["trial"] < TRIALS].sort_values("trial").reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, before.sort_values("trial").reset_index(drop=True))
    assert after["config/training/level"].nunique() == TRIALS + 2, "the sampler proposed the same again"
    again, first = (after[after["trial"] == number].iloc[0] for number in (TRIALS + 2, 1))
    assert again[["seed", "config/training/level"]].tolist() == first[["seed", "config/training/level"]].tolist()
    assert Store(store).study("faulty").document()["budget"]["trials"] == TRIALS + 3


@pytest.mark.parametrize("stop", ["two interrupts", "terminate"])
def test_stopping_at_once_cancels_running_trials_and_until_then_no_other_process_can_sweep(
    command: Any, space_file: Any, tmp_path: Path, stop: str
) -> None:
    store = tmp_path / "results"
    document = {**SLOW, "parameters": {"training": {"level": {"type": "float", "low": 0.0, "high": 0.9}, "pace": 5.0}}}
    process = command("run", space_file(**document), "--no-preflight")
    wait_for(store, lambda found: count("trial_started")(found) >= 2, process)
    if stop == "terminate":
        second = command("resume", "faulty")
        _, errors = second.communicate(timeout=60)
        assert second.returncode == 2
        assert "another process" in errors
    began = time.monotonic()
    if stop == "terminate":
        process.terminate()
    else:
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == (143 if stop == "terminate" else 130)
    assert time.monotonic() - began < 10
    assert "resume" in errors
    assert ("running trials were stopped" in errors) == (stop == "two interrupts")
    table = pd.read_parquet(store / "trials" / "study=faulty")
    assert set(table["state"]) == {"CANCELLED"}
    assert Store(store).study("faulty").json("live.json")["state"] == "ended"
    assert count("sweep_started")(events(store)) == 1


def test_a_deadline_after_an_interrupt_is_reported_as_the_deadline(
    command: Any, space_file: Any, tmp_path: Path
) -> None:
    store = tmp_path / "results"
    training = {"level": {"type": "float", "low": 0.0, "high": 0.9}, "pace": 5.0}
    process = command("run", space_file(parameters={"training": training}), "--no-preflight", "--time", "15s")
    wait_for(store, lambda found: count("trial_started")(found) >= 1, process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    ended = events(store)[-1]
    assert (ended["type"], ended["reason"]) == ("sweep_ended", "time")
    assert ended["message"] == "the time budget is used up before the running trials had finished"


def test_two_stores_with_one_study_name_on_one_cluster_do_not_interfere(
    command: Any, space_file: Any, tmp_path: Path
) -> None:
    """Both sweeps run at once; progress, data and workers stay separate, although studies and trials share names."""
    studies, processes = [], []
    for name, low in (("one", 0.0), ("other", 0.5)):
        (tmp_path / name).mkdir()
        level = {"type": "float", "low": low, "high": low + 0.4}
        path = space_file(budget={"trials": 6, "epochs": 4}, parameters={"training": {"level": level, "pace": 0.3}})
        own = Path(path).rename(tmp_path / name / "space.yaml")
        store = tmp_path / name / "results"
        processes.append(command("run", str(own), "--no-preflight", store=store))
        studies.append(Store(store).study)
    for process in processes:
        _, errors = process.communicate(timeout=90)
        assert process.returncode == 0, errors
    tables = [pd.read_parquet(study("faulty").trials_path).sort_values("trial") for study in studies]
    for table, low in zip(tables, (0.0, 0.5), strict=True):
        assert table["trial"].tolist() == list(range(6))
        assert (table["attempt"] == 1).all()
        assert table["config/training/level"].between(low, low + 0.4).all()
        assert table["objective"].tolist() == pytest.approx((table["config/training/level"] + 0.04).tolist())
    both = [(table["started_at"].min(), table["ended_at"].max()) for table in tables]
    assert max(begin for begin, _ in both) < min(end for _, end in both), "they did not run at the same time"
