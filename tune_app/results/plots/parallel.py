"""Parallel coordinates, and the trials within ranges along their axes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tune_app.results.effect import active_rows
from tune_app.results.importance import by_association
from tune_app.results.plots.cells import color_bar
from tune_app.results.plots.objective_axis import ObjectiveAxis, objective_axis
from tune_app.results.plots.palette import COLORS, RANKS
from tune_app.results.plots.style import FEW, empty_figure
from tune_app.results.plots.variable_axis import Values, choices_of, is_log, positions
from tune_app.spaces.spec import Spec
from tune_app.spaces.variable import Int

ALWAYS = "learning_rate"
"""The variable that people look for first: the most important one in nearly every training (Bengio 2012)."""
CONTINUOUS = "continuous"
"""The name of an axis whose labels are not choices: plotly treats them as choices, and ranges snap to them."""
OTHERS = 0.12
"""The part of the color bar for trials that did not complete."""
MOST_LINES = 1000
"""Maximum lines drawn, including the best; more merge into one area, and take a browser seconds."""


def parallel_axes(trials: pd.DataFrame, spec: Spec, most: int) -> list[str]:
    """At most `most` variables: the first of `by_association`, including `ALWAYS` if it is searched."""
    names = by_association(spec, trials)
    chosen = names[:most]
    return chosen if ALWAYS in chosen or ALWAYS not in names else [*chosen[: most - 1], ALWAYS]


def first_pair(trials: pd.DataFrame, spec: Spec) -> list[str]:
    """The first two variables of `by_association` that both vary among the trials in which both have an effect.

    The optimizer and the momentum are not such a pair if only one of the optimizers has a momentum. The first two if
    there is no such pair; fewer if fewer are searched.
    """
    names = by_association(spec, trials)
    found = next((pair for pair in itertools.combinations(names, 2) if vary_together(trials, spec, *pair)), names[:2])
    return list(found)


def vary_together(trials: pd.DataFrame, spec: Spec, x: str, y: str) -> bool:
    """Whether two variables both vary among the trials in which both have an effect."""
    both = active_rows(spec.space, trials, x) & active_rows(spec.space, trials, y)
    values = trials.loc[both, [spec.space.by_name[name].column for name in (x, y)]]
    return bool((values.nunique() > 1).all())


def parallel_coordinates(
    trials: pd.DataFrame, spec: Spec, names: Sequence[str] | None = None, log: bool | None = None
) -> go.Figure:
    """One line per trial with an objective, through its value of each searched variable, or of each of `names`.

    A range dragged along an axis keeps the lines that pass it; `within` returns the trials in such ranges. Outliers
    pass through the end of the objective's axis.
    """
    figure = go.Figure()
    figure.update_layout(title="Parallel coordinates", margin={"l": 90, "r": 60, "t": 120, "b": 40})
    rows = trials[trials["objective"].notna()]
    if rows.empty:
        return empty_figure(figure, "No trial has an objective yet.")
    rows = drawn_lines(rows, spec)
    axis = objective_axis(trials, spec.objective, log)
    low, high = axis.edges
    levels = np.clip(axis.levels(rows["objective"]), low, high)
    dimensions: list[dict[str, Any]] = []
    for name in names or spec.space.searched:
        values = positions(spec, name, rows[spec.space.by_name[name].column])
        dimensions.append({"label": name, "values": values, **_ticks(spec, name, values)})
    ticks, texts = axis.ticks()
    ends = {"name": CONTINUOUS, "range": [low, high], "tickvals": ticks.tolist(), "ticktext": texts}
    dimensions.append({"label": axis.title, "values": levels, **ends})
    line = _line(axis, levels, rows["state"] == "COMPLETED")
    figure.add_parcoords(line=line, dimensions=dimensions, labelangle=-20)
    return figure


def _line(axis: ObjectiveAxis, levels: Values, completed: pd.Series[bool]) -> dict[str, Any]:
    """How lines are colored: completed ones by their objective, others gray, as at the lower end of the color bar."""
    low, high = axis.edges
    below = low - OTHERS * (high - low)
    first = (low - below) / (high - below)
    scale = RANKS if axis.direction == "minimize" else [(1 - at, color) for at, color in RANKS[::-1]]
    gray = COLORS["PRUNED"]
    ticks, texts = axis.ticks()
    return {
        "color": np.where(completed, levels, below),
        "colorscale": [[0.0, gray], [first, gray], *([first + (1 - first) * at, color] for at, color in scale)],
        "cmin": below,
        "cmax": high,
        "showscale": True,
        "colorbar": {**color_bar(axis), "tickvals": [below, *ticks], "ticktext": ["not completed", *texts]},
    }


def drawn_lines(trials: pd.DataFrame, spec: Spec) -> pd.DataFrame:
    """The trials with an objective whose lines are drawn, in their order: the best completed one last, on top."""
    rows = trials[trials["objective"].notna()]
    ascending = spec.objective.direction == "minimize"
    ordered = rows.assign(late=rows["state"] != "COMPLETED").sort_values(
        ["late", "objective"], ascending=[True, ascending], kind="stable"
    )
    return ordered.head(MOST_LINES).drop(columns="late").iloc[::-1]


def within(trials: pd.DataFrame, spec: Spec, ranges: Mapping[str, tuple[float, float]]) -> pd.DataFrame:
    """The trials with an objective whose values lie in all `ranges` along the axes of `parallel_coordinates`.

    Axes have the labels and scales of that figure: a choice is its position, a variable on a log scale its decimal
    logarithm, an objective its height on an `objective_axis` of its kind.
    """
    kept = trials[trials["objective"].notna()]
    axis: ObjectiveAxis | None = None
    for name, (low, high) in ranges.items():
        if name in spec.space.searched:
            values = positions(spec, name, kept[spec.space.by_name[name].column])
        else:
            axis = axis or objective_axis(trials, spec.objective)
            values = pd.Series(np.clip(axis.levels(kept["objective"]), *axis.edges), index=kept.index)
        kept = kept[values.between(low, high)]
    return kept


def range_values(
    trials: pd.DataFrame, spec: Spec, name: str, ends: tuple[float, float]
) -> list[str] | tuple[float | None, float | None]:
    """What a range along an axis selects: the texts of choices, or the lowest and the highest value.

    An end of None has no bound: the range reaches the end of the objective's axis, where all outliers are.
    """
    low, high = ends
    if name not in spec.space.searched:
        axis = objective_axis(trials, spec.objective)
        first, last = axis.edges
        lowest, highest = map(float, axis.values([low, high]))
        return (None if low <= first else lowest), (None if high >= last else highest)
    choices = choices_of(spec, name)
    if choices is not None:
        return [choice for place, choice in enumerate(choices) if low <= place <= high]
    return (10.0**low, 10.0**high) if is_log(spec, name) else (low, high)


def range_text(trials: pd.DataFrame, spec: Spec, name: str, ends: tuple[float, float]) -> str:
    """A range along an axis in words: ``optimizer: adamw``, ``dropout: 0.1 to 0.3``, ``Accuracy: from 90%``."""
    found = range_values(trials, spec, name, ends)
    if isinstance(found, list):
        return f"{name}: {', '.join(found) or 'none'}"
    axis = objective_axis(trials, spec.objective)
    write = axis.text if name not in spec.space.searched else "{:,.4g}".format
    low, high = (None if end is None else write(end) for end in found)
    if low is None or high is None:
        return f"{name}: " + (f"from {low}" if low else f"up to {high}" if high else "any")
    return f"{name}: {low} to {high}"


def _ticks(spec: Spec, name: str, values: pd.Series[Any]) -> dict[str, Any]:
    """The ticks of an axis: names of choices; powers of ten and the ends on a log scale."""
    choices = choices_of(spec, name)
    if choices is not None:
        # Otherwise choices that no trial took are outside.
        ends = {"range": [0, len(choices) - 1]} if len(choices) > 1 else {}
        return {"tickvals": list(range(len(choices))), "ticktext": choices, **ends}
    low, high = float(values.min()), float(values.max())
    if not is_log(spec, name):
        if not isinstance(spec.space.searched[name], Int):
            return {"tickformat": ",.4~g"}
        return {"tickvals": list(range(int(low), int(high) + 1))} if high - low <= FEW else {"tickformat": ",d"}
    inner = [float(power) for power in range(math.floor(low) + 1, math.ceil(high))]
    marks = [low, *(power for power in inner if low + 0.1 < power < high - 0.1), high]
    texts = [f"{10**mark:,.3g}" for mark in marks]
    return {"name": CONTINUOUS, "range": [low, high], "tickvals": marks, "ticktext": texts} if high > low else {}
