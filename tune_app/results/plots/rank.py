"""The rank of the objective over two searched variables."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from tune_app.results.plots.palette import RANKS
from tune_app.results.plots.style import empty_figure, figure_digits, points, titled_figure
from tune_app.results.plots.variable_axis import compared_trials, scattered, shown_values, use_variable
from tune_app.spaces.objective import label_of
from tune_app.spaces.spec import Spec


def rank_plot(trials: pd.DataFrame, spec: Spec, x: str, y: str, pruned: bool = False) -> go.Figure:
    """The trials over two searched variables, colored by the rank of their objective, which no scale can hide.

    Args:
        pruned: include trials that were stopped early; their metrics come from fewer epochs.
    """
    label = label_of(spec.objective).replace("_", " ")
    digits = figure_digits("objective", spec.objective)
    figure = titled_figure(f"Rank of {label} over {x} and {y}", x, y)
    for name, side in ((x, "x"), (y, "y")):
        use_variable(figure, spec, name, side)
    rows = compared_trials(trials, spec, (x, y), pruned)
    if rows.empty:
        words = "No trial has an objective yet." if trials["objective"].isna().all() else "No trial has both in effect."
        return empty_figure(figure, words)
    ranks = rows["objective"].rank(method="min", ascending=spec.objective.direction == "minimize").astype(int)
    rows = rows.assign(rank=ranks, x=shown_values(spec, x, rows), y=shown_values(spec, y, rows))
    rows = rows.sort_values("rank", ascending=False)  # the best ones on top
    last = max(2, len(rows))
    points(
        figure,
        x=scattered(spec, x, rows),
        y=scattered(spec, y, rows),
        marker={
            "color": -rows["rank"],
            "colorscale": RANKS,
            "reversescale": True,
            "cmin": -last,
            "cmax": -1,
            "colorbar": {
                "title": {"text": "Rank", "side": "right"},
                "tickvals": [-1, -(1 + last) / 2, -last],
                "ticktext": ["best", "median", "worst"],
            },
            "size": 9,
            "line": {"width": 0.5, "color": "white"},
        },
        customdata=rows[["trial", "objective", "rank", "x", "y"]],
        hovertemplate=f"trial %{{customdata[0]}}: %{{customdata[2]:,d}} of {len(rows):,}<br>"
        f"%{{customdata[1]:{digits}}}<br>{x}: %{{customdata[3]}}<br>{y}: %{{customdata[4]}}<extra></extra>",
        showlegend=False,
    )
    return figure
