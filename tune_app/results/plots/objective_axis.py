"""The axis of an objective or a metric, scaled to the contest.

It shows what completed trials reached. One trial that diverged would flatten all others, so what lies far on the worse
side is drawn at the edge, with a mark and its true value. A share, such as an accuracy, is drawn by the logarithm of
the error: from 98% to 99% is as far as from 80% to 90%.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from tune_app.results.plots.style import axis_title, figure_digits
from tune_app.spaces.objective import is_share, label_of
from tune_app.spaces.section import Objective
from tune_app.spaces.variable import Direction

Kind = Literal["linear", "log", "error"]
FAR = 3.0
"""Interquartile ranges beyond the quartile from which a value lies "far out" (Tukey 1977)."""
LEAST = 4
"""With fewer values no quartile says what is usual."""
PAD = 0.06
"""Of the axis, left free at each end."""
MOST_TICKS = 7
Values = NDArray[np.float64]


@dataclass(frozen=True)
class ObjectiveAxis:
    """Which values of a figure an axis shows, and how.

    Attributes:
        title: of the axis.
        digits: how d3 writes its values.
        kind: ``linear``, ``log``, or ``error`` for the logarithm of one minus the value.
        low, high: the smallest and the largest value of the contest.
        floor: what an error of zero is drawn as.
        direction: in which the figure is better; None if nobody knows.
    """

    title: str
    digits: str
    kind: Kind
    low: float
    high: float
    floor: float
    direction: Direction | None

    def levels(self, values: Any) -> Values:
        """Values as heights, larger for larger values: themselves, their logarithm, or minus that of their error."""
        numbers = np.asarray(pd.to_numeric(pd.Series(values), errors="coerce"), dtype=float)
        if self.kind == "linear":
            return numbers
        if self.kind == "log":
            return np.log10(np.where(numbers > 0, numbers, np.nan))
        return -np.log10(np.maximum(1.0 - numbers, self.floor))

    @property
    def edges(self) -> tuple[float, float]:
        """The lower and the upper end of the axis, as heights."""
        low, high = map(float, self.levels([self.low, self.high]))
        pad = PAD * (high - low) or PAD * abs(high) or PAD
        return low - pad, high + pad

    def drawn(self, values: Any) -> Values:
        """Values as plotly's axis takes them, what lies outside at the edge."""
        low, high = self.edges
        return self._of_levels(np.clip(np.nan_to_num(self.levels(values), nan=low), low, high))

    def curve(self, values: Any) -> Values:
        """Values as plotly's axis takes them, wherever they lie; NaN for what the axis has no place for."""
        return self._of_levels(self.levels(values))

    def outside(self, values: Any) -> NDArray[np.bool_]:
        """Which of the values lie outside, and so are drawn at the edge."""
        low, high = self.edges
        levels = self.levels(values)
        return ~((levels >= low) & (levels <= high))

    def values(self, levels: Any) -> Values:
        """The inverse of `levels`."""
        heights = np.asarray(levels, dtype=float)
        drawn = self._of_levels(heights)
        return 1.0 - drawn if self.kind == "error" else drawn

    def text(self, value: float) -> str:
        """A value as people read it."""
        return f"{100 * value:.4g}%" if self.digits.endswith("p") else f"{value:,.4g}"

    def _of_levels(self, levels: Values) -> Values:
        if self.kind == "linear":
            return levels
        return np.asarray(10.0 ** (levels if self.kind == "log" else -levels))

    @property
    def worse_edge(self) -> float:
        """Where plotly draws what has no value, such as a failed trial."""
        low, high = self.edges
        return float(self._of_levels(np.array([high if self.direction == "minimize" else low]))[0])

    def layout(self) -> dict[str, Any]:
        """The axis for plotly."""
        low, high = self.edges
        if self.kind == "linear":
            return {"title": self.title, "range": [low, high], "tickformat": self.digits}
        if self.kind == "log":
            return {"title": self.title, "type": "log", "range": [low, high], "tickformat": self.digits, "dtick": None}
        values, texts = self.ticks()
        title = f"{self.title}, log of the error"
        positions = self._of_levels(values).tolist()
        return {"title": title, "type": "log", "range": [-low, -high], "tickvals": positions, "ticktext": texts}

    def ticks(self) -> tuple[Values, list[str]]:
        """Heights of round values of the contest, and their texts; for an axis or a color bar of `levels`."""
        low, high = self.edges
        if self.kind == "linear":
            marks = _round_between(low, high)
        elif self.kind == "log":
            marks = _round_logs(low, high)
        else:
            marks = 1.0 - _round_logs(-high, -low)
            if 1.0 - self.high <= self.floor:
                marks = np.append(marks, 1.0)
        return self.levels(marks), list(map(self.text, marks))


def objective_axis(trials: pd.DataFrame, objective: Objective, log: bool | None = None) -> ObjectiveAxis:
    """The axis of the column ``objective`` of these trials.

    Args:
        log: None for the logarithm of the error of a share, and a linear axis for everything else.
    """
    completed = trials.loc[trials["state"] == "COMPLETED", "objective"].dropna()
    values = completed if len(completed) else trials["objective"].dropna()
    return value_axis("objective", values, values, objective.direction, log, objective)


def value_axis(
    column: str,
    values: pd.Series[Any],
    ends: pd.Series[Any],
    direction: Direction | None,
    log: bool | None = None,
    objective: Objective | None = None,
) -> ObjectiveAxis:
    """The axis of a column.

    Args:
        values: all that is drawn of completed trials; what lies far out among them may lie outside.
        ends: what those trials ended with; the best of it lies inside.
        direction: in which the column is better; None if nobody knows, then nothing lies outside.
        log: see `objective_axis`.
    """
    title = axis_title(label_of(objective) if column == "objective" and objective else column)
    digits = figure_digits(column, objective)
    known = values.dropna().astype(float)
    kind: Kind = _kind(column, objective, log, known, direction)
    if kind == "log":
        known = known[known > 0]
    errors = (1.0 - known)[known < 1.0]
    floor = float(errors.min()) / 2 if len(errors) else 0.005
    if known.empty:
        return ObjectiveAxis(title, digits, "linear", 0.0, 1.0, floor, direction)
    low, high = float(known.min()), float(known.max())
    if len(known) >= LEAST and direction is not None:
        axis = ObjectiveAxis(title, digits, kind, low, high, floor, direction)
        low, high = _fenced(axis, known, ends.dropna().astype(float))
    return ObjectiveAxis(title, digits, kind, low, high, floor, direction)


def _kind(
    column: str, objective: Objective | None, log: bool | None, known: pd.Series[Any], direction: Direction | None
) -> Kind:
    error = is_share(column, objective) and not column.startswith("health/") and direction != "minimize"
    if error and log is not False and known.le(1.0).all():
        return "error"
    return "log" if log and bool(known.gt(0).any()) and not error else "linear"


def _fenced(axis: ObjectiveAxis, known: pd.Series[Any], ends: pd.Series[Any]) -> tuple[float, float]:
    """The ends of the axis without what lies far out on the worse side, by quartiles of the heights."""
    levels = axis.levels(known)
    first, third = np.quantile(levels, [0.25, 0.75])
    reach = FAR * (third - first)
    if reach == 0:
        return axis.low, axis.high
    inside = levels <= third + reach if axis.direction == "minimize" else levels >= first - reach
    kept = known.to_numpy()[inside]
    best = [ends.min() if axis.direction == "minimize" else ends.max()] if len(ends) else []
    return float(min([*kept, *best])), float(max([*kept, *best]))


def _round_between(low: float, high: float) -> Values:
    step = 10.0 ** math.floor(math.log10((high - low) / MOST_TICKS))
    step *= next(times for times in (1, 2, 5, 10) if (high - low) / (step * times) <= MOST_TICKS)
    return np.asarray(np.arange(math.ceil(low / step), math.floor(high / step) + 1) * step, dtype=np.float64)


def _round_logs(low: float, high: float) -> Values:
    """Round numbers whose decimal logarithms lie from `low` to `high`: powers of ten, and more between if need be."""
    for marks in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        powers = range(math.floor(low), math.ceil(high) + 1)
        found = [mark * 10.0**power for power in powers for mark in marks]
        found = [value for value in found if low <= math.log10(value) <= high]
        if len(found) >= MOST_TICKS // 2 + 1:
            break
    if len(found) < MOST_TICKS // 2:
        found = list(_round_between(10.0**low, 10.0**high))
    return np.asarray(found[:: math.ceil(len(found) / (2 * MOST_TICKS))])


def use_axis(figure: go.Figure, axis: ObjectiveAxis, side: str = "y") -> None:
    """Give the figure this axis."""
    figure.update_layout({f"{side}axis": axis.layout()})


def add_outside(
    figure: go.Figure, axis: ObjectiveAxis, x: Any, rows: pd.DataFrame, colour: str, hover: str, customdata: Any
) -> None:
    """Mark the `rows` whose objective lies outside, at the edge, with a triangle that points where they lie.

    Args:
        x: their positions across.
        hover: the template of the text; it reads `customdata`, which has the true value.
    """
    if not len(rows):
        return
    low, high = axis.edges
    above = axis.levels(rows["objective"]) > (low + high) / 2
    figure.add_scatter(
        mode="markers",
        x=np.asarray(x),
        y=axis.drawn(rows["objective"]),
        name=f"Outside the axis ({len(rows):,})",
        marker={
            "color": colour,
            "symbol": ["triangle-up-open" if up else "triangle-down-open" for up in above],
            "size": 9,
            "line": {"width": 2},
        },
        cliponaxis=False,
        customdata=customdata,
        hovertemplate=hover,
    )
