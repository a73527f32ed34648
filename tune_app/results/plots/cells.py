"""The objective over two searched variables, as cells: only measured values, nothing interpolated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tune_app.readable import counted
from tune_app.results.plots.objective_axis import ObjectiveAxis, objective_axis
from tune_app.results.plots.palette import SCALE
from tune_app.results.plots.style import empty_figure, points, titled_figure
from tune_app.results.plots.variable_axis import (
    cells_of,
    compared_trials,
    grid_of,
    on_axis,
    positions,
    scattered,
    use_variable,
)
from tune_app.spaces.spec import Spec

WRITTEN = 150
"""Maximum number of cells that have room for their counts."""
SEEN = 300
"""Maximum number of trials drawn over the cells; more would hide them."""
GAP = 2
"""Pixels between cells."""


def contour_plot(
    trials: pd.DataFrame, spec: Spec, x: str, y: str, pruned: bool = False, log: bool | None = None
) -> go.Figure:
    """The median objective of the trials in each cell of two searched variables, with their count; the best has a star.

    Each discrete value is a cell; a continuous range is cut into cells of equal width on its scale. A cell without
    trials stays empty. A click on a cell returns the number of its best trial.

    Args:
        pruned: include trials that were stopped early; their metrics come from fewer epochs.
    """
    rows = compared_trials(trials, spec, (x, y), pruned)
    axis = objective_axis(rows, spec.objective, log)
    figure = titled_figure(f"{axis.title} over {x} and {y}", x, y)
    for name, side in ((x, "x"), (y, "y")):
        use_variable(figure, spec, name, side)
    if rows.empty:
        return empty_figure(figure, _nothing(trials, pruned))
    better = spec.objective.direction
    _add_cells(figure, axis, spec, x, y, rows)
    if len(rows) <= SEEN and (grid_of(spec, x) is None or grid_of(spec, y) is None):
        _add_trials(figure, axis, spec, x, y, rows)
    best = rows.sort_values("objective", ascending=better == "minimize").head(1)
    across, upwards = (scattered(spec, name, best) for name in (x, y))
    figure.add_scatter(
        x=across,
        y=upwards,
        mode="markers",
        marker={"symbol": "star", "size": 15, "color": "white", "line": {"width": 1.5, "color": "black"}},
        customdata=best[["trial", "objective"]],
        hovertemplate=f"the best: trial %{{customdata[0]}}<br>%{{customdata[1]:{axis.digits}}}<extra></extra>",
        showlegend=False,
    )
    return figure


def _nothing(trials: pd.DataFrame, pruned: bool) -> str:
    if trials["objective"].isna().all():
        return "No trial has an objective yet."
    return "No trial has both variables in effect." if pruned else "No completed trial has both variables in effect."


def color_bar(axis: ObjectiveAxis) -> dict[str, Any]:
    """The color bar for heights of this axis."""
    levels, texts = axis.ticks()
    return {"title": {"text": axis.title, "side": "right"}, "tickvals": levels.tolist(), "ticktext": texts}


def colors(axis: ObjectiveAxis, scale: Any = SCALE) -> dict[str, Any]:
    """How heights of this axis are colored: from the worst to the best of the completed trials."""
    low, high = axis.edges
    reverse = axis.direction == "minimize"
    return {"colorscale": scale, "reversescale": reverse, "low": low, "high": high}


def _add_cells(figure: go.Figure, axis: ObjectiveAxis, spec: Spec, x: str, y: str, rows: pd.DataFrame) -> None:
    across, upwards = cells_of(spec, x), cells_of(spec, y)
    shape = (len(upwards.texts), len(across.texts))
    places = upwards.of(_positions(spec, y, rows)) * shape[1] + across.of(_positions(spec, x, rows))
    medians, counts = np.full(shape, np.nan), np.zeros(shape, dtype=int)
    best = np.full((*shape, 1), None, dtype=object)
    texts = np.full(shape, "", dtype=object)
    ordered = rows.assign(place=places).sort_values("objective", ascending=axis.direction == "minimize")
    for place, part in ordered.groupby("place"):
        at = divmod(int(str(place)), shape[1])
        counts[at], medians[at] = len(part), part["objective"].median()
        best[at] = [int(part["trial"].iloc[0])]
        texts[at] = (
            f"{x}: {across.texts[at[1]]}<br>{y}: {upwards.texts[at[0]]}<br>"
            f"{counted(int(counts[at]), 'trial')}, median {axis.text(medians[at])}<br>"
            f"best {axis.text(part['objective'].iloc[0])} (trial {best[at][0]})"
        )
    of = colors(axis)
    figure.add_heatmap(
        x=on_axis(spec, x, across.edges),
        y=on_axis(spec, y, upwards.edges),
        z=np.clip(axis.levels(medians.ravel()).reshape(shape), of["low"], of["high"]),
        zmin=of["low"],
        zmax=of["high"],
        colorscale=of["colorscale"],
        reversescale=of["reversescale"],
        colorbar=color_bar(axis),
        customdata=best.tolist(),
        hovertext=texts.tolist(),
        hovertemplate="%{hovertext}<extra></extra>",
        hoverongaps=False,
        text=np.where(counts > 0, counts.astype(str), "").tolist(),
        texttemplate="%{text}" if counts.size <= WRITTEN else None,
        xgap=GAP,
        ygap=GAP,
        name="Median of each cell",
    )


def _positions(spec: Spec, name: str, rows: pd.DataFrame) -> pd.Series[Any]:
    return positions(spec, name, rows[spec.space.by_name[name].column])


def _add_trials(figure: go.Figure, axis: ObjectiveAxis, spec: Spec, x: str, y: str, rows: pd.DataFrame) -> None:
    of = colors(axis)
    points(
        figure,
        x=scattered(spec, x, rows),
        y=scattered(spec, y, rows),
        marker={
            "color": axis.levels(rows["objective"]),
            "colorscale": of["colorscale"],
            "reversescale": of["reversescale"],
            "cmin": of["low"],
            "cmax": of["high"],
            "line": {"width": 1, "color": "white"},
            "size": 7,
        },
        customdata=rows[["trial", "objective"]],
        hovertemplate=f"trial %{{customdata[0]}}<br>%{{customdata[1]:{axis.digits}}}<extra></extra>",
        showlegend=False,
    )
