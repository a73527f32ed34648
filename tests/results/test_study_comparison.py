"""Studies side by side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from tune_app.results.review import load_trials
from tune_app.results.study_comparison import best_so_far, cost_curves, winners
from tune_app.spaces.spec import Spec

TRIALS = pd.DataFrame(
    {
        "trial": [0, 1, 2, 3],
        "state": ["PRUNED", "COMPLETED", "COMPLETED", "COMPLETED"],
        "objective": [0.99, 0.5, 0.4, 0.7],
        "epochs": [1, 10, 10, 10],
        "ended_at": pd.to_datetime(["2026-01-01", "2026-01-03", "2026-01-02", "2026-01-04"]),
    }
)


def test_the_best_so_far_counts_completed_trials_in_the_order_they_ended() -> None:
    found = best_so_far(TRIALS, "maximize")
    assert found["epochs"].tolist() == [11, 21, 31]
    assert found["best"].tolist() == [0.4, 0.5, 0.7]
    assert best_so_far(TRIALS, "minimize")["best"].tolist() == [0.4, 0.4, 0.4]
    assert best_so_far(TRIALS.head(1), "maximize").empty


def test_two_studies_and_their_winners(tmp_path: Path, make_study: Any, make_spec: Callable[..., Spec]) -> None:
    for name, ends in (("one", ("COMPLETED", "COMPLETED")), ("two", ("FAILED", "COMPLETED")), ("none", ("FAILED",))):
        make_study(tmp_path, make_spec(name=name, search={"seed": len(ends) + len(name)}), ends=ends)
    tables = {name: load_trials(name, tmp_path) for name in ("one", "two", "none")}
    figure = cost_curves(tables, make_spec().objective)
    assert [(trace.name, list(trace.y)) for trace in figure.data] == [("one", [0.9, 0.9]), ("two", [0.8]), ("none", [])]
    table = winners(tables, "maximize")
    assert list(table.columns) == ["one", "two"], "a study without a winner has no column"
    assert table.loc["learning_rate", "two"] == tables["two"]["config/training/learning_rate"].iloc[1]
