"""What the recorder makes of a backend's events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tune_app.datasets.dataset import Dataset
from tune_app.moment import now
from tune_app.search.study_search import Suggestions
from tune_app.spaces.feasibility import nearest_to_defaults
from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.store.trial_row import TrialRow
from tune_app.sweep.backend import Ended, Failure, Lost, Reported, Run, Started
from tune_app.sweep.recorder import Recorder
from tune_app.sweep.study_files import StudyFiles, open_study_files


class NoBackend:
    """A backend that the recorder only asks for the progress of its trials."""

    slots = 1

    def __init__(self) -> None:
        self.told: dict[int, tuple[int, float]] = {}

    def progress(self, runs: Any) -> dict[int, tuple[int, float]]:
        return self.told


@pytest.fixture
def recording(tmp_path: Path, make_spec: Callable[..., Any]) -> Iterator[tuple[Recorder, StudyFiles, Run]]:
    spec = make_spec()
    study = Study(Store(tmp_path).folder, spec.name)
    data = Dataset("digits", "image", {}, {})
    with open_study_files(spec, study, study.history(), data, {}, (), False) as files:
        run = Run(0, "t0", nearest_to_defaults(spec.space), 2, 7, 1)
        yield Recorder(files, spec, NoBackend(), Suggestions(3, 0.25)), files, run  # type: ignore[arg-type]


def epoch(number: int) -> dict[str, Any]:
    return {"trial": 0, "epoch": number, "ended_at": now(), "duration_s": 0.1, "metric/val_accuracy": 0.5 * number}


def row_of(files: StudyFiles) -> TrialRow:
    row = files.history.trials[0].row
    assert row is not None
    return row


def test_a_trial_that_finished_in_time_is_not_treated_as_late(recording: Any) -> None:
    recorder, files, run = recording
    recorder.take(Started(run))
    recorder.take(Reported(run, [epoch(1), epoch(2)], {"device": "cpu"}))
    time.sleep(0.01)
    assert recorder.overdue(0.001) == ["t0"]
    recorder.take(Ended(run, finished=True))
    assert (row_of(files).state, row_of(files).objective, row_of(files).device) == ("COMPLETED", 1.0, "cpu")


def test_a_killed_trial_says_why(recording: Any) -> None:
    recorder, files, run = recording
    recorder.take(Started(run))
    recorder.take(Reported(run, [epoch(1)], {}))
    time.sleep(0.01)
    recorder.overdue(0.001)
    recorder.take(Ended(run, finished=False, failure=Failure("lost", "its process died")))
    assert row_of(files).failure_kind == "error"
    assert "budget.trial_time" in (row_of(files).error or "")


class Clock:
    """A manual clock that replaces `time`."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("slots", "left_s"),
    [
        (1, [20.0 * 3 - 8.0, 20.0 * 3 - 20.0]),
        (2, [(20.0 * 3 - 8.0) / 2, (20.0 * 3 - 20.0) / 2]),
        (9, [(20.0 * 3 - 8.0) / 3, (20.0 * 3 - 20.0) / 3]),  # three trials are left: more slots don't end them sooner
    ],
)
def test_the_time_left_is_the_time_of_the_remaining_trials(
    slots: int, left_s: list[float], recording: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of five trials, the first took 10 s and the second 30 s; the third runs for 8 s, then longer than the mean."""
    recorder, _, run = recording
    clock = Clock()
    monkeypatch.setattr("tune_app.sweep.recorder.time", clock)
    assert recorder.live("running", slots)["left_s"] is None, "unknown, because no trial has ended"
    for number, took in ((0, 10.0), (1, 30.0)):
        one = replace(run, trial=number, trial_id=f"t{number}")
        recorder.take(Started(one))
        clock.now += took
        recorder.take(Ended(one, finished=False))
    assert recorder.live("running", slots)["mean_duration_s"] == 20.0
    assert recorder.live("running", 0)["left_s"] is None
    recorder.take(Started(replace(run, trial=2, trial_id="t2")))
    found = []
    for passes in (8.0, 50.0):
        clock.now += passes
        found.append(recorder.live("running", slots)["left_s"])
    assert found == pytest.approx(left_s)


def test_nothing_is_left_after_the_last_trial(recording: Any) -> None:
    recorder, _, run = recording
    for number in range(5):
        one = replace(run, trial=number, trial_id=f"t{number}")
        recorder.take(Started(one))
        recorder.take(Ended(one, finished=False))
    assert recorder.live("running", 2)["left_s"] == 0.0
    assert recorder.live("ended", 2)["left_s"] is None


def test_the_limit_counts_from_the_start_of_training(recording: Any) -> None:
    recorder, _, run = recording
    recorder.take(Started(run))
    time.sleep(0.02)
    recorder.live("running", 1)
    assert recorder.overdue(0.001) == [], "its process is still starting"
    recorder._backend.told = {run.trial: (0, 0.0)}
    recorder._next_question = 0.0
    recorder.live("running", 1)
    assert recorder.overdue(0.5) == []
    time.sleep(0.02)
    assert recorder.overdue(0.01) == ["t0"]


@pytest.mark.parametrize("again", [True, False])
def test_a_lost_trial_keeps_what_its_previous_attempt_reported(recording: Any, again: bool) -> None:
    recorder, files, run = recording
    recorder.take(Started(run))
    recorder.take(Reported(run, [epoch(1)], {"device": "cpu", "model_parameters": 12}))
    recorder.take(Lost(run))
    if again:
        recorder.take(Started(run))
    recorder.take(Ended(run, finished=False, failure=Failure("lost", "its process died in each of 4 attempts")))
    row = row_of(files)
    assert (row.state, row.epochs, row.device, row.model_parameters) == ("FAILED", 1, "cpu", 12)
