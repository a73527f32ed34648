"""Which trials keep their files: the best ones, however large the study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tune_app.datasets.dataset import Dataset
from tune_app.moment import now
from tune_app.results.review import load_trials
from tune_app.search.study_search import Suggestions
from tune_app.spaces.feasibility import nearest_to_defaults
from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.store.trial_row import TrialRow, TrialState
from tune_app.sweep.backend import Ended, Reported, Run, Started
from tune_app.sweep.kept import MOST_KEPT, Kept
from tune_app.sweep.recorder import Recorder
from tune_app.sweep.study_files import open_study_files

ENDED = st.tuples(
    st.sampled_from([TrialState.COMPLETED, TrialState.PRUNED, TrialState.FAILED]),
    st.integers(0, 3),
    st.none() | st.floats(-1, 1),
)


def row(number: int, state: TrialState, epochs: int, objective: float | None) -> TrialRow:
    return TrialRow(number, f"t{number}", state, epochs, now(), now(), 1.0, 0, 1, objective)


@settings(max_examples=30, deadline=None)
@given(ends=st.lists(ENDED, max_size=3 * MOST_KEPT), direction=st.sampled_from(["maximize", "minimize"]))
def test_the_best_are_kept_in_any_order(ends: list[Any], direction: str) -> None:
    rows = [row(number, *end) for number, end in enumerate(ends)]
    kept, there = Kept(direction), set[int]()
    for each in rows:
        there.add(each.trial)
        there.discard(kept.add(each))  # type: ignore[arg-type]
    assert len(there) == min(len(rows), MOST_KEPT)
    completed = {each.trial for each in rows if each.state == TrialState.COMPLETED}
    assert completed <= there or there <= completed, "completed trials come first"
    values = {each.trial: each.objective for each in rows if each.objective is not None and each.trial in completed}
    sign = 1 if direction == "maximize" else -1
    left_out = [sign * values[number] for number in completed - there if number in values]
    kept_values = [sign * values[number] for number in there if number in values]
    assert not left_out or max(left_out) <= min(kept_values)


def test_a_study_keeps_the_files_of_its_best_trials(tmp_path: Path, make_spec: Callable[..., Any]) -> None:
    count = MOST_KEPT + 8
    spec = make_spec(budget={"trials": count, "epochs": 1})
    study = Study(Store(tmp_path).folder, spec.name)

    class NoBackend:
        slots = 1

        def progress(self, runs: Any) -> dict[int, Any]:
            return {}

    data = Dataset("digits", "image", {}, {})
    with open_study_files(spec, study, study.history(), data, {}, (), tensorboard=True) as files:
        recorder = Recorder(files, spec, NoBackend(), Suggestions(0, 0.0))  # type: ignore[arg-type]
        for number in range(count):
            run = Run(number, f"t{number}", nearest_to_defaults(spec.space), 1, 7, 1)
            recorder.take(Started(run))
            study.folder.write(study.checkpoint(number), b"weights")
            told = {"trial": number, "epoch": 1, "ended_at": now(), "duration_s": 0.1}
            recorder.take(Reported(run, [{**told, "metric/val_accuracy": (number * 7 % count) / count}], {}))
            recorder.take(Ended(run, finished=True, facts={"checkpoint": study.folder.path(study.checkpoint(number))}))
    trials = load_trials(spec.name, tmp_path).sort_values("objective", ascending=False)
    best = set(trials["trial"].head(MOST_KEPT))
    folder = tmp_path / study.base
    assert {int(path.stem) for path in (folder / "checkpoints").iterdir()} == best
    assert {int(path.name[-5:]) for path in (folder / "tensorboard").iterdir()} == best
    assert set(trials.loc[trials["checkpoint"].notna(), "trial"]) == best, "the table names no file that is gone"
    assert {r.trial for r in study.history().rows() if r.checkpoint} == best, "nor does the event log"
    assert len(list(tmp_path.rglob("*"))) < 100
