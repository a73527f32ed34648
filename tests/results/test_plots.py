"""The figures of a study, drawn from a real study's tables."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from tune_app.results import plots
from tune_app.results.importance import Importance
from tune_app.results.plots.curves import CURVES
from tune_app.results.plots.parallel import MOST_LINES
from tune_app.results.plots.style import DISTINCT, MANY
from tune_app.results.trial_curve import trial_curve
from tune_app.spaces.spec import Spec


def named(figure: go.Figure) -> dict[str, Any]:
    json.loads(figure.to_json())  # what the browser receives
    return {trace.name: trace for trace in figure.data if trace.name}


def heights(values: Any) -> Any:
    """Positions of accuracies on an axis with the logarithm of the error."""
    return -np.log10(1 - np.asarray(values, float))


def copied(trials: pd.DataFrame, times: int) -> pd.DataFrame:
    """`times` copies of the trials, each an hour later."""
    return pd.concat(
        [
            trials.assign(
                trial=trials["trial"] + 40 * copy,
                started_at=trials["started_at"] + timedelta(hours=copy),
                ended_at=trials["ended_at"] + timedelta(hours=copy),
            )
            for copy in range(times)
        ],
        ignore_index=True,
    )


def test_the_history_marks_pruned_and_failed_trials(trials: pd.DataFrame, spec: Spec) -> None:
    traces = named(plots.optimization_history(trials, spec.objective))
    counts = trials["state"].value_counts()
    drawn = {name: len(traces[name].x) for name in ("Completed", "Pruned", "Failed")}
    outside = sum(len(trace.x) for name, trace in traces.items() if "outside the axis" in name)
    assert sum(drawn.values()) + outside == counts.sum()
    assert drawn["Failed"] == counts["FAILED"]
    best = np.asarray(traces["Best so far"].y, float)
    assert (np.diff(best) >= 0).all()
    assert best[-1] == pytest.approx(heights(trials.loc[trials["state"] == "COMPLETED", "objective"].max()))
    assert traces["Best so far"].x[-1] == trials["trial"].max(), "the last one failed, so the best one is unchanged"
    assert "diverged: Diverged" in traces["Failed"].text[0]


def test_the_best_so_far_of_a_loss_falls(trials: pd.DataFrame, spec_with: Callable[..., Spec]) -> None:
    losses = spec_with(objective={"metric": "val_loss"}).objective
    traces = named(plots.optimization_history(trials, losses))
    assert (np.diff(np.asarray(traces["Best so far"].y, float)) <= 0).all()
    assert set(traces["Failed"].y) == {max(traces["Failed"].y)}, "failures are drawn at the worse edge"
    assert traces["Failed"].y[0] > max(traces["Completed"].y)


def test_one_diverged_trial_does_not_flatten_the_others(trials: pd.DataFrame, spec_with: Callable[..., Spec]) -> None:
    losses = spec_with(objective={"metric": "val_loss"}).objective
    first = trials.loc[trials["state"] == "COMPLETED", "trial"].iloc[0]
    diverged = trials.assign(objective=trials["objective"].where(trials["trial"] != first, 1e6))
    figure = plots.optimization_history(diverged, losses)
    assert figure.layout.yaxis.range[1] < 2
    (outside,) = [trace for trace in figure.data if (trace.name or "").endswith("outside the axis (1)")]
    assert outside.name.startswith("Completed")
    assert list(outside.marker.symbol) == ["triangle-up-open"]
    assert outside.y[0] < figure.layout.yaxis.range[1]
    assert list(outside.customdata[0])[:2] == [first, 1e6], "the hover text has the true value"


def test_pruned_curves_share_one_line_and_end_where_they_stopped(epochs: pd.DataFrame, trials: pd.DataFrame) -> None:
    figure = plots.learning_curves(epochs, trials, "metric/val_accuracy", highlight=[0], rungs=(1, 3, 9))
    traces = named(figure)
    line = traces["Pruned"]
    pruned = set(trials.loc[trials["state"] == "PRUNED", "trial"])
    numbers = np.asarray(line.customdata, float)[:, 0]
    assert set(numbers[~np.isnan(numbers)]) == pruned
    # A gap between two trials, so that no line connects the end of one to the start of the next.
    assert np.isnan(np.asarray(line.y, float)).sum() == len(pruned) - 1
    assert np.nanmax(np.asarray(line.x, float)) == 3
    assert len(traces["Trial 0"].x) == 9
    assert traces["Trial 0"].line.width > traces["Completed"].line.width > line.line.width
    assert traces["Median (completed)"].line.dash == "dash"
    assert [shape.x0 for shape in figure.layout.shapes] == [1, 3], "the rungs before the last epoch"


def test_curves_of_a_single_epoch_are_markers_next_to_the_lines(epochs: pd.DataFrame, trials: pd.DataFrame) -> None:
    pruned = [int(number) for number in trials.loc[trials["state"] == "PRUNED", "trial"]]
    longer, *short = pruned
    cut = epochs[~epochs["trial"].isin(short) | (epochs["epoch"] == 1)]
    line, marks = [t for t in plots.learning_curves(cut, trials, "metric/val_accuracy").data if t.name == "Pruned"]
    assert (line.mode, line.showlegend) == ("lines", None)
    assert {row[0] for row in line.customdata} == {longer}
    assert (marks.mode, marks.showlegend) == ("markers", False)
    assert sorted(row[0] for row in marks.customdata if row[0] == row[0]) == short
    (alone,) = plots.learning_curves(cut[cut["trial"].isin(short)], trials, "metric/val_accuracy").data
    assert (alone.mode, alone.showlegend) == ("markers", True)


def test_a_metric_that_no_trial_has(epochs: pd.DataFrame, trials: pd.DataFrame) -> None:
    figure = plots.learning_curves(epochs, trials, "metric/val_f1")
    assert figure.layout.annotations[0].text == "No trial has a value of val f1 yet."


def test_curves_of_thousands_of_trials_are_thinned_counted_and_fast(epochs: pd.DataFrame, trials: pd.DataFrame) -> None:
    many = pd.concat([trials.assign(trial=trials["trial"] + 40 * copy) for copy in range(250)])
    curves = pd.concat([epochs.assign(trial=epochs["trial"] + 40 * copy) for copy in range(250)])
    begun = time.process_time()
    figure = plots.learning_curves(curves, many, "metric/val_accuracy")
    text = figure.to_json()
    assert time.process_time() - begun < 1.0
    assert len(text) < 2e6
    completed = int((many["state"] == "COMPLETED").sum())
    traces = named(figure)
    line = traces[f"Completed ({CURVES:,} of {completed:,})"]
    numbers = np.asarray(line.customdata, float)[:, 0]
    assert len(set(numbers[~np.isnan(numbers)])) == CURVES
    assert {trace.type for trace in figure.data} == {"scattergl"}


def test_long_curves_keep_their_last_epoch(trials: pd.DataFrame) -> None:
    rows = [{"trial": 0, "epoch": epoch, "metric/val_loss": 1 / epoch} for epoch in range(1, 1002)]
    (line,) = plots.learning_curves(pd.DataFrame(rows), trials.head(1), "metric/val_loss").data
    assert len(line.x) < 150
    assert line.x[0] == 1
    assert line.x[-1] == 1001


def test_compared_curves_differ_in_color_dash_and_symbol(epochs: pd.DataFrame) -> None:
    traces = plots.compared_curves(epochs, [0, 1, 2, 3, 5, 6], "metric/val_accuracy").data
    assert [trace.name for trace in traces] == [f"Trial {number}" for number in (0, 1, 2, 3, 5, 6)]
    for look in ([t.line.color for t in traces], [t.line.dash for t in traces], [t.marker.symbol for t in traces]):
        assert len(set(look)) == 6


def test_the_curve_of_a_trial_stands_beside_the_median_and_the_best(epochs: pd.DataFrame, spec: Spec) -> None:
    traces = named(trial_curve(epochs, [1], 0, spec.objective))
    assert set(traces) == {"Median of trials that got this far", "Trial 0, the best", "Trial 1"}
    values = epochs.loc[epochs["trial"] == 1, "metric/val_accuracy"]
    assert len(traces["Trial 1"].x) == len(values)
    assert set(named(trial_curve(epochs, [0], 0, spec.objective))) == {"Median of trials that got this far", "Trial 0"}
    _, *several = trial_curve(epochs, range(8), None, spec.objective).data
    assert len({(line.line.color, line.line.dash) for line in several}) == 8
    assert len({line.line.dash for line in several}) > 6, "not by color alone"


def test_parallel_coordinates_and_their_selection(trials: pd.DataFrame, spec: Spec) -> None:
    (lines,) = plots.parallel_coordinates(trials, spec).data
    axes = {axis.label: axis for axis in lines.dimensions}
    assert list(axes) == ["filters", "optimizer", "learning_rate", "momentum", "Val accuracy"]
    assert list(axes["filters"].ticktext) == ["8", "16", "32"]
    ranges = {"filters": (0.5, 1.5), "learning_rate": (-3.0, -1.0), "Val accuracy": (float(heights(0.8)), 9.0)}
    chosen = plots.within(trials, spec, ranges)
    having = trials[
        (trials["config/architecture/filters"] == 16)
        & trials["config/training/learning_rate"].between(1e-3, 1e-1)
        & (trials["objective"] >= 0.8)
    ]
    assert list(chosen["trial"]) == list(having["trial"])
    assert len(chosen)
    texts = [plots.range_text(trials, spec, name, ends) for name, ends in ranges.items()]
    assert texts == ["filters: 16", "learning_rate: 0.001 to 0.1", "Val accuracy: from 80%"]


def test_the_learning_rate_is_always_an_axis(trials: pd.DataFrame, spec: Spec) -> None:
    by_choice = trials.assign(objective=(trials["config/training/optimizer"] == "sgd").astype(float), state="COMPLETED")
    assert plots.parallel_axes(by_choice, spec, 4)[0] == "optimizer"
    assert plots.parallel_axes(by_choice, spec, 2) == ["optimizer", "learning_rate"]


def test_the_first_pair_varies_together(trials: pd.DataFrame, spec: Spec) -> None:
    many = copied(trials, 10)
    sgd = many["config/training/optimizer"] == "sgd"
    best = many.assign(objective=sgd * (1 + many["config/training/momentum"]), state="COMPLETED")
    for other in ("architecture/filters", "training/learning_rate"):
        best[f"config/{other}"] = np.random.default_rng(0).permutation(best[f"config/{other}"])
    assert plots.parallel_axes(best, spec, 4)[:2] == ["optimizer", "momentum"]
    x, y = plots.first_pair(best, spec)
    assert x == "optimizer"
    assert y in {"learning_rate", "filters"}, "momentum has an effect with only one optimizer"


def test_the_best_completed_of_many_lines_are_drawn_on_top(trials: pd.DataFrame, spec: Spec) -> None:
    many = copied(trials, 80)
    drawn = plots.drawn_lines(many, spec)
    completed = many[many["state"] == "COMPLETED"]
    assert len(drawn) == MOST_LINES < len(completed)
    assert set(drawn["state"]) == {"COMPLETED"}
    assert drawn["objective"].iloc[-1] == completed["objective"].max()
    (lines,) = plots.parallel_coordinates(many, spec).data
    assert len(lines.dimensions[0]["values"]) == MOST_LINES


def test_uncompleted_trials_are_gray_in_parallel_coordinates(trials: pd.DataFrame, spec: Spec) -> None:
    (lines,) = plots.parallel_coordinates(trials, spec).data
    drawn = plots.drawn_lines(trials, spec)
    gray = np.asarray(lines.line.color, float) == lines.line.cmin
    assert list(gray) == list(drawn["state"] != "COMPLETED")
    assert lines.line.colorbar.ticktext[0] == "not completed"


def test_slices_draw_every_trial_in_which_the_variable_had_an_effect(trials: pd.DataFrame, spec: Spec) -> None:
    told = trials[trials["objective"].notna()]
    figure = plots.slice_plot(trials, spec, "learning_rate")
    drawn = [trace for trace in figure.data if not trace.name.startswith("Median")]
    assert sum(len(trace.x) for trace in drawn) == len(told)
    assert figure.layout.xaxis.type == "log"
    having = told[told["config/training/optimizer"] == "sgd"]
    drawn = [trace for trace in plots.slice_plot(trials, spec, "momentum").data if not trace.name.startswith("Median")]
    assert {row[0] for trace in drawn for row in trace.customdata} == set(having["trial"])


def test_many_points_of_a_slice_fade_so_that_dense_areas_show(trials: pd.DataFrame, spec: Spec) -> None:
    few = named(plots.slice_plot(trials, spec, "learning_rate"))["Completed"]
    many = named(plots.slice_plot(copied(trials, 30), spec, "learning_rate"))["Completed"]
    assert many.marker.opacity < few.marker.opacity == 1.0


def test_points_of_a_choice_are_spread_around_it(trials: pd.DataFrame, spec: Spec) -> None:
    traces = named(plots.slice_plot(trials, spec, "filters"))
    completed = trials[trials["state"] == "COMPLETED"]
    places = np.asarray(traces["Completed"].x, float)
    assert len(set(places)) == len(places)
    values = {row[0]: row[2] for row in traces["Completed"].customdata}
    for place, number in zip(places, values, strict=True):
        assert round(place) == ["8", "16", "32"].index(values[number])
    median = traces["Median, quartiles (completed)"]
    eights = completed.loc[completed["config/architecture/filters"] == 8, "objective"]
    assert median.customdata[0][1] == pytest.approx(eights.median())
    assert median.customdata[0][3] == len(eights)


def test_a_contour_shows_the_median_of_each_cell_without_interpolation(trials: pd.DataFrame, spec: Spec) -> None:
    figure = plots.contour_plot(trials, spec, "optimizer", "filters")
    cells, best = figure.data
    completed = trials[trials["state"] == "COMPLETED"]
    counted = np.asarray([[int(count or 0) for count in row] for row in cells.text])
    assert counted.sum() == len(completed)
    groups = completed.groupby(["config/architecture/filters", "config/training/optimizer"])["objective"]
    for (filters, optimizer), values in groups:
        at = [8, 16, 32].index(filters), ["sgd", "adamw"].index(optimizer)
        assert counted[at] == len(values)
        assert cells.z[at] == pytest.approx(heights(values.median()))
        assert cells.customdata[at[0]][at[1]] == [completed.loc[values.idxmax(), "trial"]]
    assert best.customdata[0][0] == completed.loc[completed["objective"].idxmax(), "trial"]
    with_pruned = plots.contour_plot(trials, spec, "optimizer", "filters", pruned=True).data[0]
    assert sum(int(count or 0) for row in with_pruned.text for count in row) == trials["objective"].notna().sum()


def test_cells_without_trials_stay_empty(trials: pd.DataFrame, spec: Spec) -> None:
    cells = plots.contour_plot(trials.head(6), spec, "learning_rate", "filters").data[0]
    completed = int((trials.head(6)["state"] == "COMPLETED").sum())
    assert 0 < np.isfinite(np.asarray(cells.z, float)).sum() <= completed


def test_ranks_count_completed_trials_best_first(trials: pd.DataFrame, spec: Spec) -> None:
    (points,) = plots.rank_plot(trials, spec, "learning_rate", "filters").data
    completed = trials[trials["state"] == "COMPLETED"].sort_values("objective", ascending=False)
    ranked = sorted(points.customdata, key=lambda row: row[2])
    assert [row[0] for row in ranked] == list(completed["trial"])
    assert [row[2] for row in ranked] == list(range(1, len(completed) + 1))
    (points,) = plots.rank_plot(trials, spec, "learning_rate", "filters", pruned=True).data
    assert len(points.x) == trials["objective"].notna().sum()


def test_the_distribution_of_the_objective_ends_at_one(trials: pd.DataFrame, spec: Spec) -> None:
    figure = plots.empirical_distribution({"a": trials, "b": trials.head(10)}, spec.objective)
    first, second = figure.data
    completed = trials[trials["state"] == "COMPLETED"]
    assert len(first.x) == len(completed)
    assert first.y[-1] == second.y[-1] == 1.0
    assert first.customdata[-1][0] == completed.loc[completed["objective"].idxmax(), "trial"]
    assert first.line.dash != second.line.dash


def test_the_timeline_has_a_lane_for_each_slot(trials: pd.DataFrame) -> None:
    figure = plots.timeline(trials)
    assert {lane for trace in figure.data for lane in trace.y} == {"127.0.0.1 / 1", "127.0.0.1 / 2"}
    assert sum(len(trace.x) for trace in figure.data) == 40
    assert {trace.constraintext for trace in figure.data} == {"inside"}, "otherwise wide numbers would not be hidden"


def test_many_trials_are_drawn_with_webgl_and_a_timeline_shows_the_latest(trials: pd.DataFrame, spec: Spec) -> None:
    many = copied(trials, 3 * MANY // 40 + 1)
    for figure in (
        plots.slice_plot(many, spec, "learning_rate"),
        plots.rank_plot(many, spec, "learning_rate", "filters"),
    ):
        assert "scattergl" in {trace.type for trace in figure.data}
    figure = plots.timeline(many)
    assert figure.layout.title.text == f"Trials over time (UTC; the latest {MANY:,} of {len(many):,})"
    shown = [row[0] for trace in figure.data for row in trace.customdata]
    assert sorted(map(int, shown)) == list(range(len(many) - MANY, len(many)))


def test_a_long_history_draws_a_sample_of_each_state_and_says_so(trials: pd.DataFrame, spec: Spec) -> None:
    rng = np.random.default_rng(0)
    many = copied(trials, 100)
    many["objective"] = many["objective"].where(many["objective"].isna(), 0.5 + rng.random(len(many)) / 10)
    traces = named(plots.optimization_history(many, spec.objective))
    for state in ("COMPLETED", "PRUNED"):
        rows = many[many["state"] == state]
        assert len(rows) > DISTINCT
        drawn = next(
            trace for name, trace in traces.items() if name.startswith(f"{state.capitalize()} ({DISTINCT:,} of ")
        )
        values = np.asarray([row[1] for row in drawn.customdata], float)
        assert len(drawn.x) == len(set(drawn.x)) == DISTINCT
        assert abs(np.median(values) - rows["objective"].median()) < 0.01
    best = many.loc[many["state"] == "COMPLETED", "objective"].max()
    assert max(traces["Best so far"].y) == pytest.approx(heights(best))


def test_health_over_the_epochs_omits_unmeasured_figures() -> None:
    rows = {"epoch": [1, 2], "health/overall": [0.5, 0.75], "health/gradient_health": [0.5, None]}
    figure = plots.health_over_epochs(pd.DataFrame({**rows, "health/training_stability": [None, None]}))
    traces = named(figure)
    assert set(traces) == {"Overall", "Gradient health"}
    assert list(traces["Overall"].y) == [0.5, 0.75]
    empty = plots.health_over_epochs(pd.DataFrame({"epoch": []}))
    assert empty.layout.annotations[0].text == "No epoch of this trial has health scores."


def test_importances_show_their_spread_and_direction() -> None:
    found = {"a": Importance(0.7, 0.6, 0.9, "best: 0.001 to 0.01"), "b": Importance(0.3, 0.1, 0.4, "lower is better")}
    figure = plots.importances(found)
    assert all(told[0] is None for bars in figure.data for told in bars.customdata), "a click on a bar opens no trial"
    (bars,) = figure.data
    assert list(bars.y) == ["b", "a"], "the largest one is at the top"
    assert list(bars.error_x.array) == pytest.approx([0.1, 0.2])
    assert list(bars.error_x.arrayminus) == pytest.approx([0.2, 0.1])
    assert max(figure.layout.xaxis.tickvals) == 1.0, "no share is above 1, however much room the labels take"
    assert [note.text for note in figure.layout.annotations] == ["lower is better", "best: 0.001 to 0.01"]


def test_an_empty_study_says_so_in_every_figure(trials: pd.DataFrame, epochs: pd.DataFrame, spec: Spec) -> None:
    none = trials.head(0)
    for figure in (
        plots.optimization_history(none, spec.objective),
        plots.learning_curves(epochs.head(0), none, "metric/val_accuracy"),
        plots.parallel_coordinates(none, spec),
        plots.slice_plot(none, spec, "filters"),
        plots.contour_plot(none, spec, "filters", "learning_rate"),
        plots.rank_plot(none, spec, "filters", "learning_rate"),
        plots.empirical_distribution({"none": none}, spec.objective),
        plots.timeline(none),
    ):
        assert figure.layout.annotations[0].text.startswith("No trial")


def test_an_axis_has_room_for_unused_choices(trials: pd.DataFrame, spec: Spec) -> None:
    (lines,) = plots.parallel_coordinates(trials[trials["config/architecture/filters"] == 8], spec).data
    assert list(lines.dimensions[0].range) == [0, 2]


def test_every_point_carries_its_trial_number(trials: pd.DataFrame, epochs: pd.DataFrame, spec: Spec) -> None:
    numbers = set(trials["trial"])
    figures = [
        plots.optimization_history(trials, spec.objective),
        plots.learning_curves(epochs, trials, "metric/val_accuracy"),
        plots.slice_plot(trials, spec, "learning_rate"),
        plots.rank_plot(trials, spec, "filters", "momentum"),
        plots.empirical_distribution({"a": trials}, spec.objective),
        plots.timeline(trials),
    ]
    for figure in figures:
        clicked = [row[0] for trace in figure.data if trace.customdata is not None for row in trace.customdata]
        known = {int(number) for number in clicked if number is not None and number == number}
        assert known
        assert known <= numbers


def test_an_axis_with_only_failures_has_no_tick_labels(trials: pd.DataFrame, spec: Spec) -> None:
    failed = trials[trials["state"] == "FAILED"]
    assert plots.optimization_history(failed, spec.objective).layout.yaxis.showticklabels is False
    assert plots.slice_plot(failed, spec, "momentum").layout.yaxis.showticklabels is False
    assert plots.optimization_history(trials, spec.objective).layout.yaxis.showticklabels is None


def test_compared_trials_are_marked(trials: pd.DataFrame, spec: Spec) -> None:
    first, second = (int(number) for number in trials.loc[trials["state"] == "COMPLETED", "trial"].head(2))
    figures = [
        plots.optimization_history(trials, spec.objective),
        plots.slice_plot(trials, spec, "learning_rate"),
        plots.rank_plot(trials, spec, "learning_rate", "filters"),
        plots.empirical_distribution({"one": trials}, spec.objective),
    ]
    for figure in figures:
        before = len(figure.data)
        plots.mark_trials(figure, [second, first, 10**6])
        rings = figure.data[before:]
        assert [ring.text for ring in rings] == [(str(second),), (str(first),)], "a trial that is not drawn has no mark"
        assert rings[0].marker.color != rings[1].marker.color
        drawn = [
            (x, y) for t in figure.data[:before] if t.customdata is not None for x, y in zip(t.x, t.y, strict=True)
        ]
        assert (rings[0].x[0], rings[0].y[0]) in drawn
    lanes = plots.timeline(trials)
    plots.mark_trials(lanes, [first])
    bars = next(bar for bar in lanes.data if first in [row[0] for row in bar.customdata])
    assert bars.marker.line.width[[row[0] for row in bars.customdata].index(first)] == 3
