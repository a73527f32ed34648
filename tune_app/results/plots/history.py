"""The optimization history: each trial's objective by number, and the best so far."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tune_app.results.plots.objective_axis import ObjectiveAxis, add_outside, objective_axis, use_axis
from tune_app.results.plots.palette import COLORS, state_marker
from tune_app.results.plots.style import DISTINCT, counted_state, empty_figure, thinned, titled_figure, whole_numbers
from tune_app.spaces.section import Objective


def optimization_history(trials: pd.DataFrame, objective: Objective, log: bool | None = None) -> go.Figure:
    """The objective of each trial by number, with the best so far; failed trials are at the worse edge.

    The axis is that of the completed trials, see `objective_axis`.
    """
    axis = objective_axis(trials, objective, log)
    figure = titled_figure(f"{axis.title} over trials", "Trial", "")
    use_axis(figure, axis)
    figure.update_xaxes(**whole_numbers(trials["trial"]))
    told = trials.loc[trials["objective"].notna() & (trials["state"] != "FAILED"), ["trial", "state", "objective"]]
    hover = f"trial %{{customdata[0]}}<br>%{{customdata[1]:{axis.digits}}}"
    outside = axis.outside(told["objective"])
    for state, rows in told[~outside].groupby("state"):
        drawn = thinned(rows.sort_values("objective"), DISTINCT)
        figure.add_scatter(
            mode="markers",
            x=drawn["trial"],
            y=axis.drawn(drawn["objective"]),
            name=counted_state(str(state), len(drawn), len(rows)),
            marker=state_marker(str(state), len(drawn)),
            customdata=drawn[["trial", "objective"]],
            hovertemplate=hover,
        )
    _add_failed(figure, axis, trials, told.empty)
    far = told[outside].sort_values("trial")
    add_outside(figure, axis, far["trial"], far, far["state"].str.lower().tolist(), hover + " (%{customdata[2]})")
    _add_best(figure, axis, told[told["state"] == "COMPLETED"].sort_values("trial"), objective, trials["trial"].max())
    return figure if len(trials) else empty_figure(figure, "No trial has ended yet.")


def _add_failed(figure: go.Figure, axis: ObjectiveAxis, trials: pd.DataFrame, alone: bool) -> None:
    every = trials[trials["state"] == "FAILED"]
    if every.empty:
        return
    if alone:  # their height is then not a value of theirs
        figure.update_yaxes(showticklabels=False)
    failed = thinned(every, DISTINCT)
    figure.add_scatter(
        mode="markers",
        x=failed["trial"],
        y=[axis.worse_edge] * len(failed),
        name=counted_state("FAILED", len(failed), len(every)),
        marker=state_marker("FAILED", len(failed)),
        cliponaxis=False,
        text=failed["failure_kind"].astype(str) + ": " + failed["error"].astype(str).str.slice(0, 120),
        customdata=failed[["trial"]],
        hovertemplate="trial %{customdata[0]}<br>%{text}",
    )


def _add_best(figure: go.Figure, axis: ObjectiveAxis, completed: pd.DataFrame, objective: Objective, last: int) -> None:
    """The best completed trial up to each one, through the `last` one that ended."""
    if completed.empty:
        return
    values = completed["objective"].astype(float)
    so_far = values.cummin() if objective.direction == "minimize" else values.cummax()
    first = np.r_[True, np.diff(so_far) != 0]
    figure.add_scatter(
        x=np.append(completed["trial"][first], last),
        y=axis.drawn(np.append(so_far[first], so_far.iloc[-1])),
        mode="lines",
        line={"shape": "hv", "color": COLORS["COMPLETED"]},
        name="Best so far",
        hoverinfo="skip",
    )
