"""The health of one trial over its epochs."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from tune_app.results.plots.palette import DASHES, MARKS, SERIES
from tune_app.results.plots.style import axis_title, empty_figure, titled_figure, whole_numbers
from tune_app.training.health import WEIGHTS

COLUMNS = ("health/overall", *(f"health/{name}" for name in WEIGHTS))
OVERALL = 4
"""The index of the most muted color of `SERIES`, for the widest line."""
PLACES = (0, 1, 2, 3, 5, 6)


def health_over_epochs(epochs: pd.DataFrame) -> go.Figure:
    """The health scores of one trial over its epochs; the overall one stands out.

    Args:
        epochs: rows of that trial, in the order of the epochs.
    """
    figure = titled_figure("Health", "Epoch", "")
    known = [column for column in COLUMNS if column in epochs and epochs[column].notna().any()]
    for column in known:
        overall = column == "health/overall"
        place = OVERALL if overall else PLACES[COLUMNS.index(column) - 1]
        figure.add_scatter(
            x=epochs["epoch"],
            y=epochs[column],
            mode="lines+markers",
            name=axis_title(column.removeprefix("health/")),
            line={"width": 5 if overall else 2, "dash": "solid" if overall else DASHES[place], "color": SERIES[place]},
            marker={"size": 8, "symbol": MARKS[place]},
            hovertemplate="epoch %{x}<br>%{y:.4~p}",
        )
    figure.update_yaxes(tickformat=".0%", range=[-0.03, 1.03])
    figure.update_xaxes(**whole_numbers(epochs["epoch"]))
    figure.update_layout(title={"text": ""}, margin={"t": 20})
    return figure if known else empty_figure(figure, "No epoch of this trial has health scores.")
