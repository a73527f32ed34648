"""The empirical distribution of the objective."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tune_app.results.plots.objective_axis import objective_axis, use_axis
from tune_app.results.plots.palette import COLORS, DASHES, SERIES
from tune_app.results.plots.style import empty_figure, thinned, titled_figure
from tune_app.spaces.section import Objective

STEPS = 2000
"""Maximum steps drawn of a line."""


def empirical_distribution(
    trials: Mapping[str, pd.DataFrame], objective: Objective, log: bool | None = None
) -> go.Figure:
    """The share of the completed trials with an objective of at most each value, one line per study."""
    completed = {
        name: rows[(rows["state"] == "COMPLETED") & rows["objective"].notna()].sort_values("objective")
        for name, rows in trials.items()
    }
    columns = ["trial", "state", "objective"]
    every = pd.concat([rows[columns] for rows in completed.values()]) if completed else pd.DataFrame(columns=columns)
    axis = objective_axis(every, objective, log)
    figure = titled_figure(f"Empirical distribution of {axis.title.lower()}", "", "Share of the completed trials")
    use_axis(figure, axis, "x")
    figure.update_yaxes(tickformat=".0%", range=[-0.03, 1.03])
    for place, (name, rows) in enumerate(completed.items()):
        if rows.empty:
            continue
        shares = np.arange(1, len(rows) + 1) / len(rows)
        drawn = thinned(rows.assign(share=shares), STEPS)
        color = COLORS["COMPLETED"] if len(completed) == 1 else SERIES[place % len(SERIES)]
        figure.add_scatter(
            x=axis.drawn(drawn["objective"]),
            y=drawn["share"],
            mode="lines+markers",
            line={"shape": "hv", "color": color, "width": 2, "dash": DASHES[place % len(DASHES)]},
            marker={"size": 4 if len(drawn) > 100 else 6},
            name=f"{name} ({len(rows):,} completed)",
            customdata=drawn[["trial", "objective"]],
            hovertemplate=f"trial %{{customdata[0]}}<br>%{{y:.1%}} reach at most %{{customdata[1]:{axis.digits}}}"
            "<extra></extra>",
        )
    figure.update_layout(showlegend=True)
    return figure if len(every) else empty_figure(figure, "No trial completed yet.")
