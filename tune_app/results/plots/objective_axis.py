"""The axis of an objective or a metric, scaled to the values that compete.

It shows the completed trials' values and many of the others'. One trial that diverged would flatten all others, so
outliers on the worse side are drawn at the edge, with a mark and their true value. A share, such as an accuracy, is
drawn by the logarithm of the error: 98% to 99% spans as much as 80% to 90%.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from tune_app.results.plots.palette import COLORS, CROWD
from tune_app.results.plots.style import DISTINCT, axis_title, figure_digits, thinned
from tune_app.spaces.objective import is_share, label_of
from tune_app.spaces.section import Objective
from tune_app.spaces.variable import Direction

Kind = Literal["linear", "log", "error"]
FAR = 5.0 * 1.4826
"""Median absolute deviations from the median beyond which a value is an outlier: five standard deviations of a normal
distribution. Iglewicz and Hoaglin (1993) take 3.5; the worse side of a sweep has a longer tail."""
MOST_OUTSIDE = 0.25
"""Maximum share of all trials outside a logarithmic axis, which has room for the early ends of pruned ones."""
LEAST_HEIGHT = 1 / 3
"""Minimum share of a linear axis for completed trials; the axis has room for the better half of the others."""
LEAST = 4
"""With fewer values there is no way to tell outliers."""
PAD = 0.06
"""Share of the axis left free at each end."""
RIM = 0.015
"""Share of the axis between its end and the marks at its edge."""
MOST_TICKS = 7
TICK_ROOM = 0.07
"""Share of the axis that the text of a tick takes."""
Values = NDArray[np.float64]


@dataclass(frozen=True)
class ObjectiveAxis:
    """Which values of a metric an axis shows, and how.

    Attributes:
        title: of the axis.
        digits: d3's format for its values.
        kind: ``linear``, ``log``, or ``error`` for the logarithm of one minus the value.
        low, high: the smallest and the largest value that the axis is scaled to.
        floor: the value that represents an error of zero.
        direction: the metric's better direction; None if unknown.
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

    @property
    def _rims(self) -> tuple[float, float]:
        """Just inside the edges, because plotly drops points that rounding moves outside."""
        low, high = self.edges
        return low + RIM * (high - low), high - RIM * (high - low)

    def drawn(self, values: Any) -> Values:
        """Values in the form that plotly's axis takes, with outliers at the edge."""
        low, high = self._rims
        return self._of_levels(np.clip(np.nan_to_num(self.levels(values), nan=low), low, high))

    def curve(self, values: Any) -> Values:
        """Values in the form that plotly's axis takes, outliers unmoved; NaN if the axis has no place for them."""
        return self._of_levels(self.levels(values))

    def outside(self, values: Any) -> NDArray[np.bool_]:
        """Which of the values are outside, and so drawn at the edge."""
        low, high = self.edges
        levels = self.levels(values)
        return ~((levels >= low) & (levels <= high))

    def values(self, levels: Any) -> Values:
        """The inverse of `levels`."""
        heights = np.asarray(levels, dtype=float)
        return 1.0 - 10.0**-heights if self.kind == "error" else self._of_levels(heights)

    def text(self, value: float, significant: int = 4) -> str:
        """A value for people, with this many significant digits."""
        return f"{100 * value:.{significant}g}%" if self.digits.endswith("p") else f"{value:,.{significant}g}"

    @property
    def _significant(self) -> int:
        """Digits that tell round values on the axis apart: four, or more if all values are nearly equal."""
        spread = self.high - self.low
        largest = max(abs(self.low), abs(self.high))
        return max(4, math.ceil(math.log10(largest / spread)) + 2) if spread > 0 else 4

    def _of_levels(self, levels: Values) -> Values:
        return np.asarray(10.0**levels) if self.kind == "log" else levels

    @property
    def worse_edge(self) -> float:
        """Where plotly draws points without a value, such as a failed trial."""
        low, high = self._rims
        return float(self._of_levels(np.array([high if self.direction == "minimize" else low]))[0])

    def layout(self) -> dict[str, Any]:
        """The axis for plotly."""
        low, high = self.edges
        if self.kind == "linear":
            digits = self.digits.replace("4", str(self._significant))
            return {"title": self.title, "range": [low, high], "tickformat": digits}
        if self.kind == "log":
            return {"title": self.title, "type": "log", "range": [low, high], "tickformat": self.digits, "dtick": None}
        values, texts = self.ticks()
        title = f"{self.title}, log of the error"
        # Not plotly's own log axis, reversed: with WebGL it drops lines that are partly outside.
        return {"title": title, "range": [low, high], "tickvals": values.tolist(), "ticktext": texts}

    def ticks(self) -> tuple[Values, list[str]]:
        """Heights of round values on the axis, and their labels; for an axis or a color bar of `levels`."""
        low, high = self.edges
        if self.kind == "linear":
            marks = round_between(low, high)
        elif self.kind == "log":
            marks = _round_logs(low, high)
        else:
            marks = 1.0 - _round_logs(-high, -low)
            if 1.0 - self.high <= self.floor:
                apart = self.levels(1.0) - self.levels(marks) > TICK_ROOM * (high - low)
                marks = np.append(marks[apart], 1.0)
        return self.levels(marks), [self.text(mark, self._significant) for mark in marks]


def objective_axis(trials: pd.DataFrame, objective: Objective, log: bool | None = None) -> ObjectiveAxis:
    """The axis of the column ``objective`` of these trials.

    Args:
        log: None for the logarithm of the error of a share, and a linear axis for everything else.
    """
    told = trials.loc[trials["objective"].notna() & (trials["state"] != "FAILED"), ["state", "objective"]]
    completed = told.loc[told["state"] == "COMPLETED", "objective"]
    values = completed if len(completed) else told["objective"]
    others = told.loc[told["state"] != "COMPLETED", "objective"]
    return value_axis("objective", values, told["objective"], objective.direction, log, objective, others)


def value_axis(
    column: str,
    values: pd.Series[Any],
    ends: pd.Series[Any],
    direction: Direction | None,
    log: bool | None = None,
    objective: Objective | None = None,
    others: pd.Series[Any] | None = None,
) -> ObjectiveAxis:
    """The axis of a column.

    Args:
        values: those of completed trials; outliers among them may be outside.
        ends: the final values of all trials; the best of them are inside.
        direction: the column's better direction; None if unknown, then nothing is outside.
        log: see `objective_axis`.
        others: those of `ends` that are not from completed trials.
    """
    title = axis_title(label_of(objective) if column == "objective" and objective else column)
    digits = figure_digits(column, objective)
    known = values.dropna().astype(float)
    kind: Kind = _kind(column, objective, log, known, direction)
    if kind == "log":
        known = known[known > 0]
    errors = 1.0 - pd.concat([known, ends.dropna().astype(float)])
    floor = float(errors[errors > 0].min()) / 2 if (errors > 0).any() else 0.005
    if known.empty:
        return ObjectiveAxis(title, digits, "linear", 0.0, 1.0, floor, direction)
    low, high = float(known.min()), float(known.max())
    if len(known) >= LEAST and direction is not None:
        low, high = _fenced(ObjectiveAxis(title, digits, kind, low, high, floor, direction), known)
    if kind != "linear" and len(ends) and direction is not None:
        worse = MOST_OUTSIDE if direction == "maximize" else 1 - MOST_OUTSIDE
        common = float(ends.astype(float).quantile(worse, interpolation="nearest"))
        low, high = min(low, common if kind == "error" or common > 0 else low), max(high, common)
    if kind == "linear" and others is not None and others.notna().any() and direction is not None:
        room = (high - low) / LEAST_HEIGHT if high > low else math.inf
        common = float(others.astype(float).quantile(0.5, interpolation="nearest"))
        low, high = min(low, max(common, high - room)), max(high, min(common, low + room))
    best = [value for value in (ends.min(), ends.max()) if kind != "log" or value > 0] if len(ends) else []
    if best and direction == "minimize":
        low = min(low, float(best[0]))
    elif best and direction == "maximize":
        high = max(high, float(best[-1]))
    return ObjectiveAxis(title, digits, kind, low, high, floor, direction)


def _kind(
    column: str, objective: Objective | None, log: bool | None, known: pd.Series[Any], direction: Direction | None
) -> Kind:
    error = is_share(column, objective) and not column.startswith("health/") and direction != "minimize"
    if error and log is not False and known.le(1.0).all():
        return "error"
    return "log" if log and bool(known.gt(0).any()) and not error else "linear"


def _fenced(axis: ObjectiveAxis, known: pd.Series[Any]) -> tuple[float, float]:
    """The ends of the axis, by height, without outliers on the worse side."""
    levels = axis.levels(known)
    middle = float(np.median(levels))
    reach = FAR * float(np.median(np.abs(levels - middle)))
    if reach == 0:
        return axis.low, axis.high
    inside = levels <= middle + reach if axis.direction == "minimize" else levels >= middle - reach
    kept = known.to_numpy()[inside]
    return float(kept.min()), float(kept.max())


def round_between(low: float, high: float) -> Values:
    """Round values from `low` to `high`, evenly spaced, at most `MOST_TICKS` plus the first."""
    step = 10.0 ** math.floor(math.log10((high - low) / MOST_TICKS))
    step *= next(times for times in (1, 2, 5, 10) if (high - low) / (step * times) <= MOST_TICKS)
    return np.asarray(np.arange(math.ceil(low / step), math.floor(high / step) + 1) * step, dtype=np.float64)


def _round_logs(low: float, high: float) -> Values:
    """Round numbers whose decimal logarithms are between `low` and `high`: powers of ten, more if needed."""
    for marks in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        powers = range(math.floor(low), math.ceil(high) + 1)
        found = [mark * 10.0**power for power in powers for mark in marks]
        found = [value for value in found if low <= math.log10(value) <= high]
        if len(found) >= MOST_TICKS // 2 + 1:
            break
    if len(found) < MOST_TICKS // 2:
        found = list(round_between(10.0**low, 10.0**high))
    return np.asarray(found[:: math.ceil(len(found) / (2 * MOST_TICKS))])


def use_axis(figure: go.Figure, axis: ObjectiveAxis, side: str = "y") -> None:
    """Give the figure this axis."""
    figure.update_layout({f"{side}axis": axis.layout()})


def add_outside(
    figure: go.Figure, axis: ObjectiveAxis, x: Any, rows: pd.DataFrame, texts: Sequence[str], hover: str
) -> None:
    """Mark the `rows` whose objective is outside with a triangle at the edge that points toward their value.

    Args:
        x: their positions across.
        rows: with ``trial``, ``state`` and ``objective``; each state has a line in the legend.
        texts: one for each row, the third element of the ``customdata`` that `hover` reads; before it are the trial
            and its true value.
    """
    low, high = axis.edges
    for state, every in rows.assign(across=np.asarray(x), text=list(texts)).groupby("state"):
        drawn = thinned(every, DISTINCT)
        above = axis.levels(drawn["objective"]) > (low + high) / 2
        count = f"{len(drawn):,} of {len(every):,}" if len(drawn) < len(every) else f"{len(every):,}"
        figure.add_scatter(
            mode="markers",
            x=drawn["across"],
            y=axis.drawn(drawn["objective"]),
            name=f"{str(state).capitalize()}, outside the axis ({count})",
            marker={
                "color": COLORS[str(state)],
                "symbol": ["triangle-up-open" if up else "triangle-down-open" for up in above],
                "size": 9 if len(drawn) < CROWD else 6,
                "line": {"width": 2 if len(drawn) < CROWD else 1},
            },
            cliponaxis=False,
            customdata=drawn[["trial", "objective", "text"]],
            hovertemplate=hover,
        )
