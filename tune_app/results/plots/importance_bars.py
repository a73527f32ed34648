"""What mattered, as bars."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from tune_app.results.importance import Importance
from tune_app.results.plots.objective_axis import round_between
from tune_app.results.plots.palette import COLORS
from tune_app.results.plots.style import titled_figure

ROOM = 1.35
"""Width of the axis in multiples of the widest bar, to leave room for the words next to it."""


def importances(found: Mapping[str, Importance]) -> go.Figure:
    """The result of `tune_app.results.importance.importances`, largest at the top, with spread and direction."""
    figure = titled_figure("What mattered", "Share of the objective's variance", "")
    names = list(found)[::-1]
    shares, lows, highs = ([getattr(found[name], end) for name in names] for end in ("share", "low", "high"))
    figure.add_bar(
        x=shares,
        y=names,
        orientation="h",
        marker={"color": COLORS["COMPLETED"]},
        error_x={
            "type": "data",
            "array": [high - share for high, share in zip(highs, shares, strict=True)],
            "arrayminus": [share - low for low, share in zip(lows, shares, strict=True)],
            "color": COLORS["PRUNED"],
            "thickness": 2,
        },
        customdata=[[None, lows[place], highs[place], found[name].direction] for place, name in enumerate(names)],
        hovertemplate="%{y}: %{x:.1%}<br>%{customdata[1]:.1%} to %{customdata[2]:.1%} over the forests<br>"
        "%{customdata[3]}<extra></extra>",
    )
    widest = max(highs, default=1.0)
    for name, high in zip(names, highs, strict=True):
        text = found[name].direction
        figure.add_annotation(x=high + widest * 0.02, y=name, text=text, showarrow=False, xanchor="left")
    wide = widest * ROOM
    figure.update_xaxes(tickformat=".0%", range=[0, wide], tickvals=round_between(0, min(1.0, wide)).tolist())
    figure.update_yaxes(automargin=True)
    figure.update_layout(height=max(260, 110 + 26 * len(names)))
    return figure
