"""The frame that all figures share: titles, legends, formats, and words if there is nothing to show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tune_app.readable import in_words
from tune_app.spaces.objective import is_share
from tune_app.spaces.section import Objective

MANY = 1000
"""With more points than this, WebGL draws them and a timeline shows only the latest trials: SVG would take seconds."""
TOP, BOTTOM, ROW = 48, 56, 22
"""Pixels above a figure for its title, below it for the title of its axis, and of a row of the legend."""
HEIGHT = 450
"""Plotly's default height for a figure that sets none."""
DISTINCT = 300
"""Maximum points of one state in the history, which opens first and is redrawn for every filter: more would overlap."""
FEW = 20
"""Up to this many whole numbers have one tick each; plotly would add fractions between them."""


def titled_figure(title: str, x: str, y: str, log_y: bool = False) -> go.Figure:
    """An empty figure with this title and these axes, in the style of all others.

    The legend is below: above, a toolbar would cover it, and several rows would cover the title.
    """
    figure = go.Figure()
    figure.update_layout(
        title=title,
        xaxis_title=x,
        yaxis_title=y,
        margin={"l": 60, "r": 20, "t": TOP, "b": BOTTOM},
        legend={"orientation": "h", "yanchor": "top", "x": 0, "xanchor": "left", "title": {"text": ""}},
        hovermode="closest",
    )
    figure.update_layout(legend_y=_legend_place(HEIGHT))
    if log_y:
        figure.update_yaxes(type="log")
    return figure


def set_height(figure: go.Figure, height: int) -> go.Figure:
    """Give the figure this height, in pixels; its legend stays below the title of the axis."""
    return figure.update_layout(height=height, legend_y=_legend_place(height))


def _legend_place(height: int) -> float:
    return -BOTTOM / (height - TOP - BOTTOM - ROW)


def empty_figure(figure: go.Figure, words: str) -> go.Figure:
    """`figure` with `words` instead of something to show."""
    figure.add_annotation(text=words, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, font={"size": 16})
    figure.update_xaxes(showticklabels=False)
    figure.update_yaxes(showticklabels=False)
    return figure


def points(figure: go.Figure, *, mode: str = "markers", **trace: Any) -> None:
    """Add markers, by WebGL if there are many."""
    add = figure.add_scattergl if len(trace["x"]) > MANY else figure.add_scatter
    add(mode=mode, **trace)


def figure_digits(column: str, objective: Objective | None = None) -> str:
    """How d3 formats a value: four significant digits, in percent if people expect that, thousands with commas."""
    return ".4~p" if is_share(column, objective) else ",.4~g"


def axis_title(column: str) -> str:
    """The display name of a column for an axis or a legend."""
    return in_words(without_family(column))


def without_family(column: str) -> str:
    """``metric/val_loss`` as ``val_loss``, ``health/overall`` as ``health: overall``."""
    return column.removeprefix("metric/").replace("health/", "health: ")


def counted_state(state: str, drawn: int, all_of_it: int) -> str:
    """The state's name in a legend, which says if only some of its trials are drawn."""
    return state.capitalize() + (f" ({drawn:,} of {all_of_it:,})" if drawn < all_of_it else "")


def thinned(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """`most` of the rows if there are more: evenly spread over their order, the first and the last included."""
    places = np.linspace(0, len(rows) - 1, min(len(rows), most)).round().astype(int)
    return rows.iloc[places]


def whole_numbers(values: pd.Series[Any]) -> dict[str, Any]:
    """The ticks of an axis of these whole numbers, without fractions."""
    few = len(values) == 0 or values.max() - values.min() <= FEW
    return {"tickformat": ",d", "dtick": 1 if few else None}


def duration_text(seconds: float) -> str:
    """``9.5 s``, ``3 min 10 s``, ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
