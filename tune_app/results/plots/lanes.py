"""When each trial ran, and where."""

from __future__ import annotations

from datetime import datetime

import pandas as pd
import plotly.graph_objects as go

from tune_app.results.plots.palette import COLORS
from tune_app.results.plots.style import MANY, duration_text, empty_figure, set_height, titled_figure

LANE = 22
"""Height of a lane, in pixels."""
LEGIBLE = 60
"""Maximum trials in the busiest lane for bars to have room for their numbers."""


def timeline(trials: pd.DataFrame) -> go.Figure:
    """When each trial ran, by the node it ran on; trials that ran at the same time on a node are stacked."""
    figure = titled_figure("Trials over time (UTC)", "", "")
    rows = trials[trials["started_at"].notna() & trials["ended_at"].notna()].sort_values("started_at")
    if len(rows) > MANY:
        figure.update_layout(title=f"Trials over time (UTC; the latest {MANY:,} of {len(rows):,})")
        rows = rows.tail(MANY)
    rows = rows.assign(lane=_lanes(rows))
    lanes = sorted(set(rows["lane"]))
    legible = len(rows) == 0 or rows["lane"].value_counts().max() <= LEGIBLE
    for state, part in rows.groupby("state"):
        figure.add_bar(
            base=part["started_at"],
            x=(part["ended_at"] - part["started_at"]).dt.total_seconds() * 1000,
            y=part["lane"],
            orientation="h",
            name=str(state).capitalize(),
            marker={"color": COLORS[str(state)], "line": {"width": 1, "color": "rgba(255,255,255,0.7)"}},
            text=part["trial"] if legible else None,
            textangle=0,
            textposition="inside",
            insidetextanchor="middle",
            constraintext="inside",
            customdata=list(zip(part["trial"], part["duration_s"].map(duration_text), strict=True)),
            hovertemplate=f"trial %{{customdata[0]}} ({str(state).lower()})<br>%{{customdata[1]}}<extra></extra>",
        )
    figure.update_xaxes(type="date")
    figure.update_yaxes(categoryorder="array", categoryarray=lanes[::-1], automargin=True, type="category")
    # Text that does not fit is hidden, not squeezed.
    figure.update_layout(
        barmode="overlay",
        uniformtext={"minsize": 9, "mode": "hide"},
    )
    set_height(figure, max(260, 150 + LANE * len(lanes)))
    return figure if len(rows) else empty_figure(figure, "No trial has ended yet.")


def _lanes(rows: pd.DataFrame) -> list[str]:
    """The lane of each row: the first of its node that is free when it starts."""
    ends: dict[str, list[datetime]] = {}
    taken = []
    for node, began, ended in zip(rows["node"].fillna("no node"), rows["started_at"], rows["ended_at"], strict=True):
        free = ends.setdefault(str(node), [])
        lane = next((number for number, end in enumerate(free) if end <= began), len(free))
        free[lane : lane + 1] = [ended]
        taken.append((str(node), lane))
    width = {node: len(str(len(free))) for node, free in ends.items()}
    return [f"{node} / {lane + 1:0{width[node]}d}" for node, lane in taken]
