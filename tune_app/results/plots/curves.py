"""Learning curves of all trials of a study, and of a few side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tune_app.results.plots.objective_axis import ObjectiveAxis, use_axis, value_axis
from tune_app.results.plots.palette import COLORS, DASHES, MARKS, SERIES
from tune_app.results.plots.style import MANY, counted_state, empty_figure, thinned, titled_figure, whole_numbers
from tune_app.results.plots.style import without_family as plain
from tune_app.spaces.variable import Direction

CURVES = 1000
"""Maximum curves of one state; more would overlap and are thinned, evenly over their final values."""
EPOCHS = 100
"""Maximum epochs drawn of a curve; a longer one is thinned evenly, including its last epoch."""
Add = Callable[..., Any]
ORDER = ("PRUNED", "CANCELLED", "FAILED", "RUNNING", "COMPLETED")
"""Later ones are drawn on top."""
WIDTHS = {"COMPLETED": 1.4, "RUNNING": 1.4, "FAILED": 1.0, "CANCELLED": 0.8, "PRUNED": 0.8}
FADED = {"COMPLETED": 0.6, "PRUNED": 0.4}
"""Opacity of a state's curves if there are `CROWD` or more."""
CROWD = 100


def learning_curves(
    epochs: pd.DataFrame,
    trials: pd.DataFrame,
    column: str,
    log: bool | None = None,
    highlight: Sequence[int] = (),
    rungs: Sequence[int] = (),
    direction: Direction | None = None,
) -> go.Figure:
    """`column` over the epochs of every trial; pruned ones thin and gray, the median of the completed ones dashed.

    All curves of one state are one line with gaps, so that thousands of trials stay fast. If some are left out, the
    legend says how many are drawn.

    Args:
        epochs: rows of the study's epochs, with ``metric/…`` and ``health/…`` columns.
        column: which of them, such as ``metric/val_loss``.
        log: see `objective_axis`.
        highlight: numbers of trials that stand out.
        rungs: epochs after which the scheduler decided, as thin vertical lines.
        direction: the column's better direction; with it, one trial that diverged does not flatten the others.
    """
    states = dict(zip(trials["trial"], trials["state"], strict=True))
    shown = epochs[epochs[column].notna()] if column in epochs else epochs.head(0).assign(**{column: []})
    shown = shown[["trial", "epoch", column]].sort_values(["trial", "epoch"], kind="stable")
    shown = shown.assign(state=shown["trial"].map(states).fillna("RUNNING"))
    axis = _axis_of(shown, column, log, direction)
    figure = titled_figure(f"{axis.title} over epochs", "Epoch", "")
    use_axis(figure, axis)
    figure.update_xaxes(minallowed=0, **whole_numbers(epochs["epoch"]))
    if shown.empty:
        return empty_figure(figure, f"No trial has a value of {plain(column).replace('_', ' ')} yet.")
    for epoch in rungs:
        if epoch < shown["epoch"].max():
            figure.add_vline(x=epoch, line={"width": 1, "dash": "dot", "color": COLORS["PRUNED"]}, layer="below")
    # All by WebGL or none: its lines cover those of SVG in any order.
    add: Add = figure.add_scattergl if len(shown) > MANY else figure.add_scatter
    for state in ORDER:
        _add_state(add, axis, shown[(shown["state"] == state) & ~shown["trial"].isin(highlight)], column, state)
    _add_median(add, axis, shown[shown["state"] == "COMPLETED"], column)
    for place, number in enumerate(n for n in highlight if n in set(shown["trial"])):
        _add_single(add, axis, shown[shown["trial"] == number], column, place)
    return figure


def compared_curves(epochs: pd.DataFrame, numbers: Sequence[int], column: str, log: bool | None = None) -> go.Figure:
    """`column` over the epochs of the trials `numbers`, each with its own color, dash and symbol."""
    shown = epochs[epochs["trial"].isin(numbers) & epochs[column].notna()] if column in epochs else epochs.head(0)
    shown = shown.sort_values(["trial", "epoch"], kind="stable")
    values = shown[column] if len(shown) else pd.Series(dtype=float)
    axis = value_axis(column, values, values, None, log)
    figure = titled_figure(f"{axis.title} over epochs", "Epoch", "")
    use_axis(figure, axis)
    figure.update_xaxes(**whole_numbers(shown["epoch"]))
    for place, number in enumerate(numbers):
        rows = shown[shown["trial"] == number]
        if len(rows):
            _add_single(figure.add_scatter, axis, rows, column, place)
    figure.update_layout(showlegend=True)
    return figure if len(shown) else empty_figure(figure, "None of these trials has a learning curve.")


def _axis_of(shown: pd.DataFrame, column: str, log: bool | None, direction: Direction | None) -> ObjectiveAxis:
    completed = shown[shown["state"] == "COMPLETED"]
    contest = completed if len(completed) else shown
    ends = shown[shown["state"] != "FAILED"].groupby("trial")[column].last()
    others = ends.drop(contest["trial"].unique(), errors="ignore")
    return value_axis(column, contest[column], ends, direction, log, others=others)


def _add_state(add: Add, axis: ObjectiveAxis, rows: pd.DataFrame, column: str, state: str) -> None:
    """The curves of one state as one line, and those of a single epoch as markers, which a line would not show."""
    if rows.empty:
        return
    ends = rows.groupby("trial")[column].last().sort_values()
    kept = thinned(ends.to_frame(), CURVES).index
    drawn = _thinned_epochs(rows[rows["trial"].isin(kept)])
    single = drawn.groupby("trial")["epoch"].transform("size") == 1
    looks = {
        "opacity": FADED.get(state, 1.0) if len(kept) > CROWD else 1.0,
        "name": counted_state(state, len(kept), len(ends)),
        "legendgroup": state,
        "hovertemplate": f"trial %{{customdata[0]:d}} ({state.lower()})<br>epoch %{{x}}<br>"
        f"%{{customdata[1]:{axis.digits}}}<extra></extra>",
    }
    if not single.all():
        line = {"color": COLORS[state], "width": WIDTHS[state]}
        add(**_in_one_line(axis, drawn[~single], column), mode="lines", connectgaps=False, line=line, **looks)
    if single.any():
        marker = {"color": COLORS[state], "size": 5}
        alone = bool(single.all())  # otherwise the line represents both in the legend
        add(**_in_one_line(axis, drawn[single], column), mode="markers", marker=marker, showlegend=alone, **looks)


def _in_one_line(axis: ObjectiveAxis, drawn: pd.DataFrame, column: str) -> dict[str, Any]:
    """The epochs of all these trials: after each trial a point without a value breaks the line."""
    breaks = np.flatnonzero(np.diff(drawn["trial"].to_numpy())) + 1
    known = np.column_stack([drawn["trial"], drawn[column]])
    return {
        "x": np.insert(drawn["epoch"].to_numpy(dtype=np.int32), breaks, 0),
        "y": np.insert(axis.curve(drawn[column]), breaks, np.nan).astype(np.float32),
        "customdata": np.insert(known, breaks, np.nan, axis=0).astype(np.float32),
    }


def _thinned_epochs(rows: pd.DataFrame) -> pd.DataFrame:
    longest = int(rows["epoch"].max())
    if longest <= EPOCHS:
        return rows
    step = -(-longest // EPOCHS)
    last = rows["trial"] != rows["trial"].shift(-1)
    return rows[(rows["epoch"] % step == 0) | (rows["epoch"] == 1) | last]


def _add_median(add: Add, axis: ObjectiveAxis, completed: pd.DataFrame, column: str) -> None:
    if completed["trial"].nunique() < 2:
        return
    medians = completed.groupby("epoch")[column].median()
    add(
        x=medians.index,
        y=axis.curve(medians),
        mode="lines",
        line={"color": SERIES[2], "width": 2.5, "dash": "dash"},
        name="Median (completed)",
        customdata=np.column_stack([np.full(len(medians), None), medians.to_numpy()]),
        hovertemplate=f"median, epoch %{{x}}<br>%{{customdata[1]:{axis.digits}}}<extra></extra>",
    )


def _add_single(add: Add, axis: ObjectiveAxis, rows: pd.DataFrame, column: str, place: int) -> None:
    number = int(rows["trial"].iloc[0])
    place %= len(SERIES)
    add(
        x=rows["epoch"],
        y=axis.curve(rows[column]),
        mode="lines+markers",
        line={"color": SERIES[place], "width": 3, "dash": DASHES[place]},
        marker={"symbol": MARKS[place], "size": 7},
        name=f"Trial {number}",
        customdata=rows[["trial", column]],
        hovertemplate=f"trial {number}<br>epoch %{{x}}<br>%{{customdata[1]:{axis.digits}}}<extra></extra>",
    )
