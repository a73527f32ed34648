"""The figures of a study: what is drawn, from a real study's tables."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from tune_app.document import Document
from tune_app.errors import WorkFailed
from tune_app.results import plots
from tune_app.results.importance import LEAST_TRIALS, by_association, importance
from tune_app.spaces.feasibility import sample
from tune_app.spaces.spec import Spec
from tune_app.tasks.spec_file import read_spec

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
DOCUMENT: dict[str, Any] = {
    "schema_version": 1,
    "name": "pictures",
    "task": "image_cnn",
    "dataset": "digits",
    "objective": {"metric": "val_accuracy"},
    "budget": {"trials": 40, "epochs": 9},
    "parameters": {
        "architecture": {"filters": {"type": "categorical", "choices": [8, 16, 32]}},
        "training": {
            "optimizer": {"type": "categorical", "choices": ["sgd", "adamw"]},
            "learning_rate": {"type": "float", "low": 1e-4, "high": 1.0, "log": True},
            "momentum": {"type": "float", "low": 0.5, "high": 0.99, "when": "optimizer == 'sgd'"},
        },
    },
}


@pytest.fixture(scope="module")
def spec() -> Spec:
    return read_spec(Document.of(DOCUMENT, "here"))


@pytest.fixture(scope="module")
def trials(spec: Spec) -> pd.DataFrame:
    """40 trials on two slots whose objective follows the learning rate alone; some failed, some were pruned."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(40):
        config = sample(spec.space, rng)
        state = "FAILED" if number % 5 == 4 else "PRUNED" if number % 3 == 2 else "COMPLETED"
        began = BEGAN + timedelta(seconds=number // 2 * 10)
        rows.append(
            {
                "trial": number,
                "state": state,
                "objective": None if state == "FAILED" else 1.0 - abs(np.log10(float(config["learning_rate"])) + 2) / 4,
                "failure_kind": "diverged" if state == "FAILED" else None,
                "error": "Diverged: a metric must be finite" if state == "FAILED" else None,
                "started_at": began,
                "ended_at": began + timedelta(seconds=9),
                "duration_s": 9.0,
                "node": "127.0.0.1",
                **{f"config/{spec.space.by_name[name].group}/{name}": value for name, value in config.items()},
            }
        )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def epochs(trials: pd.DataFrame) -> pd.DataFrame:
    """Nine epochs of a completed trial, three of the others."""
    ends = {"COMPLETED": 9, "PRUNED": 3, "FAILED": 3}
    return pd.DataFrame(
        [
            {"trial": trial, "epoch": epoch, "metric/val_accuracy": epoch / 10}
            for trial, state in zip(trials["trial"], trials["state"], strict=True)
            for epoch in range(1, ends[state] + 1)
        ]
    )


def named(figure: go.Figure) -> dict[str, Any]:
    json.loads(figure.to_json())  # what a browser gets
    return {trace.name: trace for trace in figure.data if trace.name}


def test_the_history_marks_pruned_and_failed_trials(trials: pd.DataFrame, spec: Spec) -> None:
    traces = named(plots.optimisation_history(trials, spec.objective))
    counts = trials["state"].value_counts()
    assert {name: len(traces[name].x) for name in ("Completed", "Pruned", "Failed")} == {
        state.capitalize(): counts[state] for state in counts.index
    }
    best = np.asarray(traces["Best so far"].y, float)
    assert (np.diff(best) >= 0).all()
    assert best[-1] == trials.loc[trials["state"] == "COMPLETED", "objective"].max()
    assert "diverged: Diverged" in traces["Failed"].text[0]


def test_the_best_so_far_of_a_loss_falls(trials: pd.DataFrame) -> None:
    losses = read_spec(Document.of({**DOCUMENT, "objective": {"metric": "val_loss"}}, "here")).objective
    assert (np.diff(np.asarray(named(plots.optimisation_history(trials, losses))["Best so far"].y, float)) <= 0).all()


def test_curves_of_pruned_trials_end_where_they_were_stopped(epochs: pd.DataFrame, trials: pd.DataFrame) -> None:
    traces = named(plots.learning_curves(epochs, trials, "metric/val_accuracy", highlight=[0]))
    pruned = trials.loc[trials["state"] == "PRUNED", "trial"]
    assert list(traces["Pruned here"].x) == [3] * len(pruned)
    assert len(traces["trial 0"].x) == 9
    assert traces["trial 0"].line.width > traces["trial 1"].line.width


def test_a_metric_that_no_trial_has(epochs: pd.DataFrame, trials: pd.DataFrame) -> None:
    figure = plots.learning_curves(epochs, trials, "metric/val_f1")
    assert figure.layout.annotations[0].text == "No trial has a figure for val f1 yet."


def test_too_many_curves_are_thinned_and_counted(epochs: pd.DataFrame, trials: pd.DataFrame) -> None:
    many = [trials.assign(trial=trials["trial"] + 100 * copy) for copy in range(10)]
    curves = [epochs.assign(trial=epochs["trial"] + 100 * copy) for copy in range(10)]
    figure = plots.learning_curves(pd.concat(curves), pd.concat(many), "metric/val_accuracy")
    assert figure.layout.title.text == f"Learning curves ({400 - plots.CURVES} of 400 trials not drawn)"


def test_parallel_coordinates_and_their_selection(trials: pd.DataFrame, spec: Spec) -> None:
    (lines,) = plots.parallel_coordinates(trials, spec).data
    axes = {axis.label: axis for axis in lines.dimensions}
    assert list(axes) == ["filters", "optimizer", "learning_rate", "momentum", "Val accuracy"]
    assert list(axes["filters"].ticktext) == ["8", "16", "32"]
    chosen = plots.within(
        trials, spec, {"filters": (0.5, 1.5), "learning_rate": (-3.0, -1.0), "val accuracy": (0.8, 1.0)}
    )
    having = trials[
        (trials["config/architecture/filters"] == 16)
        & trials["config/training/learning_rate"].between(1e-3, 1e-1)
        & (trials["objective"] >= 0.8)
    ]
    assert list(chosen["trial"]) == list(having["trial"])
    assert len(chosen)


def test_slices_and_contours_draw_every_trial(trials: pd.DataFrame, spec: Spec) -> None:
    told = trials["objective"].notna().sum()
    figure = plots.slice_plot(trials, spec, "learning_rate")
    assert sum(len(trace.x) for trace in figure.data) == told
    assert figure.layout.xaxis.type == "log"
    surface, points = plots.contour_plot(trials, spec, "learning_rate", "filters").data
    assert len(points.x) == told
    values = np.asarray(surface.z, float)
    assert values.shape == (plots.GRID, plots.GRID)
    assert trials["objective"].min() <= values.min() <= values.max() <= trials["objective"].max()


def test_the_timeline_has_a_lane_for_each_slot(trials: pd.DataFrame) -> None:
    figure = plots.timeline(trials)
    assert {lane for trace in figure.data for lane in trace.y} == {"127.0.0.1 / 1", "127.0.0.1 / 2"}
    assert sum(len(trace.x) for trace in figure.data) == 40


def test_many_trials_are_drawn_by_webgl_and_a_timeline_shows_the_latest(trials: pd.DataFrame, spec: Spec) -> None:
    copies = [
        trials.assign(
            trial=trials["trial"] + 40 * copy,
            started_at=trials["started_at"] + timedelta(hours=copy),
            ended_at=trials["ended_at"] + timedelta(hours=copy),
        )
        for copy in range(3 * plots.MANY // 40)
    ]
    many = pd.concat(copies, ignore_index=True)
    for figure in (
        plots.slice_plot(many, spec, "learning_rate"),
        plots.contour_plot(many, spec, "learning_rate", "filters"),
    ):
        assert "scattergl" in {trace.type for trace in figure.data}
    figure = plots.timeline(many)
    assert figure.layout.title.text == f"Timeline (the latest {plots.MANY:,} of {len(many):,} trials)"
    shown = [number for trace in figure.data for number in trace.text]
    assert sorted(map(int, shown)) == list(range(len(many) - plots.MANY, len(many)))


def test_a_long_history_draws_a_spread_of_each_state_and_says_so(trials: pd.DataFrame, spec: Spec) -> None:
    rng = np.random.default_rng(0)
    many = pd.concat([trials.assign(trial=trials["trial"] + 40 * copy) for copy in range(100)], ignore_index=True)
    many["objective"] = many["objective"].where(many["objective"].isna(), rng.random(len(many)))
    traces = named(plots.optimisation_history(many, spec.objective))
    for state in ("COMPLETED", "PRUNED"):
        rows = many[many["state"] == state]
        assert len(rows) > plots.DISTINCT
        drawn = traces[f"{state.capitalize()} ({plots.DISTINCT:,} of {len(rows):,})"]
        assert len(drawn.x) == len(set(drawn.x)) == plots.DISTINCT
        assert (min(drawn.y), max(drawn.y)) == (rows["objective"].min(), rows["objective"].max())
        assert abs(np.median(drawn.y) - rows["objective"].median()) < 0.01
    assert max(traces["Best so far"].y) == many.loc[many["state"] == "COMPLETED", "objective"].max()


def test_health_over_the_epochs_leaves_out_what_was_never_measured() -> None:
    rows = {"epoch": [1, 2], "health/overall": [0.5, 0.75], "health/gradient_health": [0.5, None]}
    figure = plots.health_over_epochs(pd.DataFrame({**rows, "health/training_stability": [None, None]}))
    traces = named(figure)
    assert set(traces) == {"Overall", "Gradient health"}
    assert list(traces["Overall"].y) == [0.5, 0.75]
    empty = plots.health_over_epochs(pd.DataFrame({"epoch": []}))
    assert empty.layout.annotations[0].text == "No epoch of this trial has figures of health."


def test_what_explains_the_objective_comes_first(trials: pd.DataFrame, spec: Spec) -> None:
    shares = importance(spec, trials)
    assert next(iter(shares)) == "learning_rate"
    assert shares["learning_rate"] > 0.7
    assert set(shares) == set(spec.space.searched)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert importance(spec, trials) == shares
    some = importance(spec, trials, most=10)
    assert some != shares
    assert importance(spec, trials, most=10) == some, "the same trials are drawn"
    assert list(plots.importances(shares).data[0].y)[-1] == "learning_rate"


def test_variables_in_the_order_of_their_association(trials: pd.DataFrame, spec: Spec) -> None:
    # What falls on both sides of its best value has no rank correlation, so the objective rises with the rate here.
    rising = trials.assign(objective=trials["config/training/learning_rate"].where(trials["objective"].notna()))
    assert by_association(spec, rising)[0] == "learning_rate"
    by_choice = trials.assign(objective=(trials["config/training/optimizer"] == "sgd").astype(float))
    assert by_association(spec, by_choice)[0] == "optimizer"
    assert set(by_association(spec, trials.head(0))) == set(spec.space.searched)


def test_importances_of_too_few_or_equal_trials_are_refused(trials: pd.DataFrame, spec: Spec) -> None:
    with pytest.raises(WorkFailed, match=f"need {LEAST_TRIALS} completed trials, but the study has 3"):
        importance(spec, trials[trials["state"] == "COMPLETED"].head(3))
    with pytest.raises(WorkFailed, match="the same objective"):
        importance(spec, trials.assign(objective=0.5))


def test_an_empty_study_says_so_in_every_figure(trials: pd.DataFrame, epochs: pd.DataFrame, spec: Spec) -> None:
    none = trials.head(0)
    for figure in (
        plots.optimisation_history(none, spec.objective),
        plots.learning_curves(epochs.head(0), none, "metric/val_accuracy"),
        plots.parallel_coordinates(none, spec),
        plots.slice_plot(none, spec, "filters"),
        plots.contour_plot(none, spec, "filters", "learning_rate"),
        plots.timeline(none),
    ):
        assert figure.layout.annotations[0].text.startswith("No trial")


def test_an_axis_has_room_for_choices_that_no_trial_took(trials: pd.DataFrame, spec: Spec) -> None:
    (lines,) = plots.parallel_coordinates(trials[trials["config/architecture/filters"] == 8], spec).data
    assert list(lines.dimensions[0].range) == [0, 2]


def test_shares_are_in_percent_on_every_axis(trials: pd.DataFrame, epochs: pd.DataFrame, spec: Spec) -> None:
    (lines,) = plots.parallel_coordinates(trials, spec).data
    drawn = [
        plots.optimisation_history(trials, spec.objective).layout.yaxis,
        plots.slice_plot(trials, spec, "momentum").layout.yaxis,
        plots.learning_curves(epochs, trials, "metric/val_accuracy").layout.yaxis,
        plots.contour_plot(trials, spec, "momentum", "filters").data[0].colorbar,
        lines.line.colorbar,
        lines.dimensions[-1],
    ]
    assert [axis.tickformat for axis in drawn] == [".4~p"] * len(drawn)
    loss = plots.learning_curves(epochs.assign(**{"metric/val_loss": 2.0}), trials, "metric/val_loss")
    assert loss.layout.yaxis.tickformat == ".4~g"


def test_failures_alone_stand_at_no_figure(trials: pd.DataFrame, spec: Spec) -> None:
    failed = trials[trials["state"] == "FAILED"]
    assert plots.optimisation_history(failed, spec.objective).layout.yaxis.showticklabels is False
    assert plots.slice_plot(failed, spec, "momentum").layout.yaxis.showticklabels is False
    assert plots.optimisation_history(trials, spec.objective).layout.yaxis.showticklabels is None
