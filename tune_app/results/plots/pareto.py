"""The Pareto front of a study with two objectives."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from tune_app.results.plots.objective_axis import use_axis, value_axis
from tune_app.results.plots.palette import COLORS
from tune_app.results.plots.style import axis_title, empty_figure, figure_digits, points, titled_figure
from tune_app.spaces.objective import AGAINST
from tune_app.spaces.spec import Spec


def pareto_front(trials: pd.DataFrame, front: pd.DataFrame, spec: Spec) -> go.Figure:
    """Both objectives of a study with mode pareto, and their front; every completed trial is inside the axes."""
    metric, against = f"metric/{spec.objective.metric}", AGAINST[spec.objective.against][0]
    across, upwards = figure_digits(metric), figure_digits(against)
    figure = titled_figure(f"{axis_title(against)} over {axis_title(metric).lower()}", "", axis_title(against))
    completed = trials[trials["state"] == "COMPLETED"]
    if completed.empty:
        return empty_figure(figure, "No trial completed yet.")
    axis = value_axis(metric, completed[metric], completed[metric], None)
    use_axis(figure, axis, "x")
    figure.update_layout(yaxis_tickformat=upwards)
    for rows, name, color, symbol, mode in (
        (completed, "Completed", COLORS["PRUNED"], "circle-open", "markers"),
        (front.sort_values(metric), "Front", COLORS["COMPLETED"], "circle", "lines+markers"),
    ):
        points(
            figure,
            x=axis.curve(rows[metric]),
            y=rows[against],
            mode=mode,
            name=name,
            marker={"color": color, "symbol": symbol, "size": 9, "line": {"width": 2}},
            customdata=rows[["trial", metric]],
            hovertemplate=f"trial %{{customdata[0]}}<br>%{{customdata[1]:{across}}}, %{{y:{upwards}}}",
        )
    return figure
