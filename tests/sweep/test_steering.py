"""Changes to a running sweep: numbers stay complete, promises survive a kill, a damaged file stops nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_app.datasets.dataset import Dataset
from tune_app.moment import now
from tune_app.search.study_search import Suggestions
from tune_app.spaces.feasibility import sample
from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.store.sweep_changes import SweepChange, SweepChanges
from tune_app.store.trial_notes import TrialNotes
from tune_app.sweep.backend import Ended, Reported, Run, Started
from tune_app.sweep.recorder import Recorder
from tune_app.sweep.requests import Request, requests_of
from tune_app.sweep.steering import Steering
from tune_app.sweep.study_files import open_study_files

DATA = Dataset("digits", "image", {}, {})


class Waiting:
    """A backend that trains nothing: it only holds waiting and running trials."""

    slots = 1

    def __init__(self, requests: Sequence[Request]) -> None:
        self.requests = list(requests)
        self.runs: list[Run] = []

    def waiting(self) -> Sequence[Request]:
        return self.requests

    def replace_waiting(self, requests: Sequence[Request]) -> None:
        self.requests = list(requests)

    def running(self) -> Sequence[Run]:
        return self.runs

    def stop(self, run: Run) -> None:
        self.runs.remove(run)

    def limit(self, concurrent: int | None) -> None:
        pass


class Sweep:
    """A sweep that can be steered but trains nothing."""

    def __init__(self, spec: Any, study: Study, files: Any) -> None:
        self.spec, self.study, self.files = spec, study, files
        requests = requests_of(spec, files.history, ())
        self.backend = Waiting(requests)
        self.recorder = Recorder(files, spec, self.backend, Suggestions(0, 0.0))  # type: ignore[arg-type]
        self.steering = Steering(spec, files, self.backend, self.recorder, requests)  # type: ignore[arg-type]
        self.rng = np.random.default_rng(0)
        self.begun: list[int] = []

    def ask(self, *change: Any) -> str | None:
        SweepChanges(self.study).ask(SweepChange(*change))
        self.steering._next_look = 0.0
        self.steering.turn(ending=False)
        return self.recorder.answer

    def train_next(self, epochs: int = 1, finished: bool = True) -> None:
        request = self.backend.requests.pop(0)
        self.begun.append(request.trial)
        config = request.config or sample(self.spec.space, self.rng)
        run = Run(request.trial, f"t{request.trial}", config, epochs, request.seed, 1, request.source)
        self.recorder.take(Started(run))
        told = {"trial": run.trial, "epoch": 1, "ended_at": now(), "duration_s": 0.1, "metric/val_accuracy": 0.5}
        self.recorder.take(Reported(run, [told], {}))
        self.recorder.take(Ended(run, finished))


@pytest.fixture
def steered(tmp_path: Path, make_spec: Callable[..., Any]) -> Any:
    spec = make_spec(budget={"trials": 6, "epochs": 1})
    study = Study(Store(tmp_path).folder, spec.name)
    with study.writing(), open_study_files(spec, study, study.history(), DATA, {}, (), False) as files:
        yield Sweep(spec, study, files)


STEPS = st.lists(
    st.tuples(st.just("train"), st.just(0)) | st.tuples(st.sampled_from(["trials", "retry"]), st.integers(1, 9)),
    max_size=12,
)


@pytest.fixture(scope="module")
def spec(make_spec: Callable[..., Any]) -> Any:
    return make_spec(budget={"trials": 6, "epochs": 1})


@settings(max_examples=15, deadline=None)
@given(steps=STEPS)
def test_numbers_stay_complete_for_any_changes(steps: list[tuple[str, int]], spec: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        study = Study(Store(folder).folder, spec.name)
        with study.writing(), open_study_files(spec, study, study.history(), DATA, {}, (), False) as files:
            sweep = Sweep(spec, study, files)
            for kind, value in steps:
                if kind != "train":
                    sweep.ask(kind, value)
                elif sweep.backend.requests:
                    sweep.train_next()
                numbers = [*sweep.begun, *(request.trial for request in sweep.backend.requests)]
                assert sorted(numbers) == list(range(sweep.recorder.total)), "no duplicates and no gaps"
                assert study.document()["budget"]["trials"] == sweep.recorder.total


def test_a_promised_trial_survives_a_kill(steered: Sweep) -> None:
    steered.train_next()
    assert steered.ask("retry", 0) == "trial 1 repeats trial 0"
    resumed = replace(steered.spec, budget=steered.spec.budget.model_copy(update={"trials": 7}))
    history = steered.study.history()  # as the next process would read it
    requests = requests_of(resumed, history, ())
    assert [request.trial for request in requests] == [1, 2, 3, 4, 5, 6]
    assert requests[0].config == history.trials[0].config
    assert requests[0].seed == history.trials[0].seed
    assert history.changes == 1, "the change is not applied again"


def test_a_shrunk_grid_can_grow_back(tmp_path: Path, make_spec: Callable[..., Any]) -> None:
    grid = {"architecture": {"filters": {"type": "categorical", "choices": [2, 4]}}, "training": {"batch_size": 500}}
    spec = make_spec(budget={"trials": 2, "epochs": 1}, search={"sampler": "grid"}, parameters=grid, constraints=[])
    study = Study(Store(tmp_path).folder, spec.name)
    with study.writing(), open_study_files(spec, study, study.history(), DATA, {}, (), False) as files:
        sweep = Sweep(spec, study, files)
        assert sweep.ask("trials", 1) == "the study now has 1 trial"
        assert sweep.ask("trials", 2) == "the study now has 2 trials"
        assert sweep.ask("trials", 9) == "the study now has 2 trials, because its grid has no more"
        assert len({str(request.config) for request in sweep.backend.requests}) == 2


def test_only_a_pruned_trial_is_tagged_as_stopped(steered: Sweep) -> None:
    for number, finished in ((0, False), (1, True)):
        steered.backend.runs = [Run(number, f"t{number}", {}, 1, 0, 1)]
        assert steered.ask("stop", number, "ada") == f"trial {number} ends after its current epoch"
        steered.train_next(finished=finished)
    steered.steering.end()
    assert {trial: note.tags for trial, note in TrialNotes(steered.study).read().items()} == {0: ("stopped by hand",)}


@pytest.mark.parametrize("name", ["changes.jsonl", "notes.jsonl"])
def test_a_damaged_file_does_not_end_the_sweep(steered: Sweep, name: str) -> None:
    path = Path(steered.study.folder.path(f"{steered.study.base}/{name}"))
    path.write_bytes(b'{"broken\n')
    steered.backend.runs = [Run(0, "t0", {}, 1, 0, 1)]
    if name == "notes.jsonl":
        steered.ask("stop", 0)
        steered.train_next(finished=False)
    steered.steering._next_look = 0.0
    steered.steering.turn(ending=False)
    assert "a line must be a JSON object" in str(steered.recorder.answer)
    Steering(steered.spec, steered.files, steered.backend, steered.recorder, ())  # type: ignore[arg-type]


def test_changes_made_while_the_sweep_starts_are_applied(steered: Sweep) -> None:
    SweepChanges(steered.study).ask(SweepChange("trials", 8))
    steered.steering.turn(ending=False)
    assert steered.recorder.total == 8
