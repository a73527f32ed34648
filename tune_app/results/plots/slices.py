"""The objective over one searched variable."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tune_app.results.plots.objective_axis import ObjectiveAxis, add_outside, objective_axis, use_axis
from tune_app.results.plots.palette import SERIES, TIMES, state_marker
from tune_app.results.plots.style import empty_figure, points, titled_figure
from tune_app.results.plots.variable_axis import (
    cells_of,
    choices_of,
    compared_trials,
    on_axis,
    positions,
    scattered,
    shown_values,
    use_variable,
)
from tune_app.spaces.spec import Spec

FULL = 150
"""Maximum number of opaque points; with more they fade, so that dense areas look dense."""
FAINTEST = 0.15
LEAST_MEDIAN = 2
"""Minimum trials in a part of the axis for a median."""


def slice_plot(trials: pd.DataFrame, spec: Spec, name: str, log: bool | None = None) -> go.Figure:
    """The objective over one searched variable, later trials darker, with the median of the completed ones.

    Points of one discrete value are scattered around it. Trials in which the variable had no effect are left out. Each
    part of the axis has its median with quartiles.
    """
    axis = objective_axis(trials, spec.objective, log)
    figure = titled_figure(f"{axis.title} over {name}", name, "")
    use_axis(figure, axis)
    use_variable(figure, spec, name, "x")
    rows = compared_trials(trials, spec, (name,), pruned=True)
    if rows.empty:
        untold = trials["objective"].isna().all()
        return empty_figure(figure, "No trial has an objective yet." if untold else f"No trial has {name} in effect.")
    rows = rows.assign(shown=shown_values(spec, name, rows))
    hover = f"trial %{{customdata[0]}}<br>{name}: %{{customdata[2]}}<br>%{{customdata[1]:{axis.digits}}}"
    outside = axis.outside(rows["objective"])
    for state, part in rows[~outside].groupby("state", sort=False):
        points(
            figure,
            x=scattered(spec, name, part),
            y=axis.drawn(part["objective"]),
            name=str(state).capitalize(),
            marker=_marker(str(state), part, len(rows), int(trials["trial"].max())),
            customdata=part[["trial", "objective", "shown"]],
            hovertemplate=hover,
        )
    far = rows[outside]
    add_outside(figure, axis, scattered(spec, name, far), far, far["shown"].tolist(), hover)
    _add_medians(figure, axis, spec, name, rows[rows["state"] == "COMPLETED"])
    return figure


def _marker(state: str, part: pd.DataFrame, drawn: int, latest: int) -> dict[str, object]:
    by_time = state == "COMPLETED"
    color = {"color": part["trial"], "colorscale": TIMES, "cmin": 0, "cmax": latest} if by_time else {}
    return {
        **state_marker(state, drawn),
        **color,
        "opacity": max(FAINTEST, min(1.0, (FULL / drawn) ** 0.5)),
    }


def _add_medians(figure: go.Figure, axis: ObjectiveAxis, spec: Spec, name: str, completed: pd.DataFrame) -> None:
    """The median of each part of the axis, and the quartiles around it as a bar."""
    cells = cells_of(spec, name)
    if completed.empty:
        return
    found = positions(spec, name, completed[spec.space.by_name[name].column])
    parts = completed["objective"].astype(float).groupby(cells.of(found))
    told = parts.quantile(np.array([0.25, 0.5, 0.75])).unstack()[parts.size() >= LEAST_MEDIAN]
    if told.empty:
        return
    places = told.index.to_numpy()
    middle, low, high = (axis.drawn(told[q]) for q in (0.5, 0.25, 0.75))
    counts = parts.size()[told.index]
    figure.add_scatter(
        x=on_axis(spec, name, cells.centers[places]),
        y=middle,
        mode="markers" if choices_of(spec, name) else "lines+markers",
        line={"color": SERIES[2], "width": 2.5},
        marker={"size": 8, "symbol": "diamond", "color": SERIES[2]},
        error_y={"type": "data", "array": high - middle, "arrayminus": middle - low, "width": 5, "thickness": 1.5},
        name="Median, quartiles (completed)",
        customdata=np.array(
            [(None, told[0.5].loc[at], cells.texts[at], int(counts.loc[at])) for at in places], dtype=object
        ),
        hovertemplate=f"{name}: %{{customdata[2]}}<br>median %{{customdata[1]:{axis.digits}}} of "
        "%{customdata[3]:,d} completed trials<extra></extra>",
    )
