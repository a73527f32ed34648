"""The axis of a searched variable: choices by their order, numbers on their scale, points side by side, and cells."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from tune_app.results.effect import active_rows
from tune_app.results.plots.style import FEW
from tune_app.spaces.spec import Spec
from tune_app.spaces.variable import Categorical, Float, Int

Values = NDArray[np.float64]
CELLS = 10
"""Parts of a continuous axis, each with its own median."""
SPREAD = 0.56
"""How widely points are scattered around a discrete value, as a share of the distance to the next one."""
GOLDEN = 0.6180339887498949
"""The fractional parts of its multiples are spread evenly, so a trial is always at the same place."""


def is_log(spec: Spec, name: str) -> bool:
    """Whether the variable is searched on a log scale."""
    return bool(getattr(spec.space.searched[name], "log", False))


def choices_of(spec: Spec, name: str) -> list[str] | None:
    """The names of the variable's choices; None for numbers."""
    domain = spec.space.searched[name]
    return [str(choice) for choice in domain.choices] if isinstance(domain, Categorical) else None


def grid_of(spec: Spec, name: str) -> Values | None:
    """The values of a discrete variable as positions, at most `FEW` of them; None for a continuous one."""
    domain = spec.space.searched[name]
    if isinstance(domain, Categorical):
        return np.arange(len(domain.choices), dtype=float)
    step = domain.step
    if step is None or domain.log or (domain.high - domain.low) / step > FEW:
        return None
    return domain.low + step * np.arange(math.floor((domain.high - domain.low) / step + 1e-8) + 1, dtype=float)


def positions(spec: Spec, name: str, values: pd.Series[Any]) -> pd.Series[Any]:
    """Values on the scale that distances are measured on: choices by position, logarithms on a log scale."""
    choices = choices_of(spec, name)
    if choices is not None:
        return values.astype(str).map(choices.index).astype(float)
    numbers = values.astype(float)
    return numbers.map(math.log10) if is_log(spec, name) else numbers


def on_axis(spec: Spec, name: str, found: Any) -> Any:
    """Positions in the form that the axis of `use_variable` takes: a log axis takes the values."""
    return 10.0**found if is_log(spec, name) else found


def scattered(spec: Spec, name: str, trials: pd.DataFrame) -> Values:
    """The trials' positions along the axis; those of one discrete value are scattered around it."""
    found = positions(spec, name, trials[spec.space.by_name[name].column]).to_numpy()
    grid = grid_of(spec, name)
    if grid is not None:
        gap = float(np.diff(grid).min()) if len(grid) > 1 else 1.0
        found = found + ((trials["trial"].to_numpy() * GOLDEN) % 1 - 0.5) * SPREAD * gap
    return np.asarray(on_axis(spec, name, found), dtype=float)


def shown_values(spec: Spec, name: str, trials: pd.DataFrame) -> list[str]:
    """The trials' values of the variable as text."""
    values = trials[spec.space.by_name[name].column]
    if isinstance(spec.space.searched[name], Float):
        return [f"{value:,.4g}" for value in values]
    return [f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value) for value in values]


def use_variable(figure: go.Figure, spec: Spec, name: str, side: str) -> None:
    """Give the figure the axis of the variable, as wide as the search."""
    choices, grid = choices_of(spec, name), grid_of(spec, name)
    axis: dict[str, Any] = {"title": name}
    if grid is not None:
        gap = float(np.diff(grid).min()) if len(grid) > 1 else 1.0
        axis["range"] = [float(grid[0]) - gap / 2, float(grid[-1]) + gap / 2]
        axis["tickvals"] = grid.tolist()
        axis["ticktext"] = choices or [f"{value:,.4g}" for value in grid]
        axis["showgrid"] = False
    else:
        axis["type"] = "log" if is_log(spec, name) else "linear"
        axis["tickformat"] = ",d" if isinstance(spec.space.searched[name], Int) else ",.4~g"
        if axis["type"] == "log":
            axis["tickformat"], axis["dtick"] = ",.4~g", None
    figure.update_layout({f"{side}axis": axis})


@dataclass(frozen=True)
class Cells:
    """A variable's axis in parts.

    Attributes:
        edges: their ends as positions, one more than there are cells.
        texts: the name of each.
    """

    edges: Values
    texts: tuple[str, ...]

    def of(self, found: pd.Series[Any]) -> NDArray[np.int64]:
        """The number of the cell of each position."""
        return np.clip(np.searchsorted(self.edges, found.to_numpy(), side="right") - 1, 0, len(self.texts) - 1)

    @property
    def centers(self) -> Values:
        """The middle of each, as a position."""
        return np.asarray((self.edges[1:] + self.edges[:-1]) / 2)


def cells_of(spec: Spec, name: str) -> Cells:
    """One for each value of a discrete variable, or `CELLS` of equal width on its scale for a continuous one."""
    grid = grid_of(spec, name)
    if grid is not None:
        gap = float(np.diff(grid).min()) if len(grid) > 1 else 1.0
        texts = choices_of(spec, name) or [f"{value:,.4g}" for value in grid]
        return Cells(np.append(grid - gap / 2, grid[-1] + gap / 2), tuple(texts))
    domain = spec.space.searched[name]
    assert not isinstance(domain, Categorical)
    low, high = (math.log10(domain.low), math.log10(domain.high)) if domain.log else (domain.low, domain.high)
    edges = np.linspace(low, high, CELLS + 1) if high > low else np.array([low - 0.5, low + 0.5])
    ends = on_axis(spec, name, edges)
    return Cells(edges, tuple(f"{a:,.3g} to {b:,.3g}" for a, b in itertools.pairwise(ends)))


def compared_trials(trials: pd.DataFrame, spec: Spec, names: tuple[str, ...], pruned: bool) -> pd.DataFrame:
    """The trials that a figure of these variables compares: those with an objective and all of the variables in effect.

    Args:
        pruned: include trials that were stopped early; their metrics come from fewer epochs.
    """
    states = ["COMPLETED", "PRUNED"] if pruned else ["COMPLETED"]
    rows = trials[trials["objective"].notna() & trials["state"].isin(states)]
    for name in names:
        rows = rows[active_rows(spec.space, rows, name)]
    return rows
