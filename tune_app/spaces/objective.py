"""How trials are compared: by one objective, or by two without trading one for the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tune_app.readable import is_absent, shown
from tune_app.spaces.section import Objective
from tune_app.spaces.variable import Direction

AGAINST: dict[str, tuple[str, Direction]] = {
    "health": ("health/overall", "maximize"),
    "size": ("model_parameters", "minimize"),
    "latency": ("latency_ms", "minimize"),
}
"""The second objective of a Pareto front: its column and its direction."""
SHARES = ("accuracy", "coverage", "health")
"""Metrics with these names are shares of a whole."""


def objective_of(objective: Objective, row: Mapping[str, Any]) -> float | None:
    """The number by which trials are compared: by schedulers, in leaderboards, in the column `objective`.

    With mode ``health`` it is the weighted mean of the metric and the overall health, ``(1 - w) * metric + w *
    health``. If the metric is minimized, health counts as ``1 - health``, so that less is better in both. The
    metric should be of the order of 1, like an accuracy, for the weight to be meaningful.

    Args:
        row: with the columns ``metric/…`` and ``health/…``, of an epoch or a trial.

    Returns:
        None if one of the figures is absent.
    """
    value: float | None = row.get(f"metric/{objective.metric}")
    if objective.mode != "health" or value is None:
        return value
    health: float | None = row.get("health/overall")
    if health is None:
        return None
    weight = objective.health_weight
    return (1 - weight) * value + weight * (health if objective.direction == "maximize" else 1 - health)


def rank(direction: str, objective: float, trial: int) -> tuple[bool, float, int]:
    """The sort key of completed trials, best first: their objective, then their number; NaN comes last."""
    unknown = objective != objective
    return unknown, 0.0 if unknown else -objective if direction == "maximize" else objective, trial


def label_of(objective: Objective) -> str:
    """The name of the number from `objective_of` in tables and the live display."""
    return "objective" if objective.mode == "health" else objective.metric


def is_share(column: str, objective: Objective | None = None) -> bool:
    """Whether people expect the column in percent.

    Args:
        objective: defines the column ``objective``.
    """
    if column == "objective" and objective is not None:  # a mean of metric and health is not a share of anything
        return objective.mode != "health" and is_share(f"metric/{objective.metric}")
    family, _, name = column.partition("/")
    return family == "health" or (family == "metric" and name.endswith(SHARES))


def figure_text(column: str, value: Any, objective: Objective | None = None) -> str:
    """A number with four significant digits, in percent if people expect that; a dash if there is none."""
    if is_absent(value) or not is_share(column, objective):
        return shown(value, absent="–")
    return f"{100 * value:.4g}%"


def objectives_of(objective: Objective, row: Mapping[str, Any]) -> list[float | None]:
    """All numbers for the sampler: one, or with mode ``pareto`` the metric and the one against it."""
    first = objective_of(objective, row)
    return [first, row.get(AGAINST[objective.against][0])] if objective.mode == "pareto" else [first]


def directions_of(objective: Objective) -> list[Direction]:
    """The directions of `objectives_of`."""
    second = [AGAINST[objective.against][1]] if objective.mode == "pareto" else []
    return [objective.direction, *second]


def front(objective: Objective, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Positions of the `rows` that no other one beats: no other is as good in both and better in one.

    Rows that lack a figure are left out. The best metric comes first.
    """
    signs = np.array([1.0 if direction == "maximize" else -1.0 for direction in directions_of(objective)])
    known = {position: objectives_of(objective, row) for position, row in enumerate(rows)}
    known = {position: values for position, values in known.items() if None not in values}
    points = np.array(list(known.values()), dtype=float).reshape(-1, len(signs)) * signs
    best = [
        (*-point, position)
        for position, point in zip(known, points, strict=True)
        if not ((points >= point).all(axis=1) & (points > point).any(axis=1)).any()
    ]
    return [int(position) for *_, position in sorted(best)]
