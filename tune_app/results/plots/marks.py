"""The trials chosen for comparison, marked in a figure of all trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from tune_app.results.plots.palette import SERIES


def mark_trials(figure: go.Figure, numbers: Sequence[int]) -> None:
    """Ring the points of these trials, or outline their bars, in the colors that their learning curves have.

    A trial that the figure does not draw gets no mark.
    """
    if not numbers:
        return
    colors = {number: SERIES[place % len(SERIES)] for place, number in enumerate(numbers)}
    rings: dict[int, tuple[Any, Any]] = {}
    for trace in figure.data:
        if trace.customdata is None or trace.type not in ("scatter", "scattergl", "bar"):
            continue
        trials = [row[0] for row in trace.customdata]
        if trace.type == "bar":
            _outline(trace, trials, colors)
        elif "markers" in trace.mode:
            rings |= {n: (trace.x[trials.index(n)], trace.y[trials.index(n)]) for n in numbers if n in trials}
    for number in (n for n in numbers if n in rings):
        x, y = rings[number]
        figure.add_scatter(
            x=[x],
            y=[y],
            mode="markers+text",
            marker={"symbol": "circle-open", "size": 15, "color": colors[number], "line": {"width": 3}},
            text=[str(number)],
            textposition="top center",
            textfont={"color": colors[number]},
            name=f"Trial {number}",
            showlegend=False,
            hoverinfo="skip",
            cliponaxis=False,
        )


def _outline(trace: Any, trials: list[Any], colors: dict[int, str]) -> None:
    if colors.keys() & set(trials):
        trace.marker.line.color = [colors.get(trial, trace.marker.line.color) for trial in trials]
        trace.marker.line.width = [3 if trial in colors else 1 for trial in trials]
