"""The objective by which trials are compared."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_app.spaces.objective import directions_of, front, objective_of, objectives_of
from tune_app.spaces.section import Objective

SIMPLE = Objective(metric="acc", direction="maximize")
HEALTH = Objective(mode="health", metric="acc", direction="maximize", health_weight=0.25)
LOSS = Objective(mode="health", metric="loss", direction="minimize")
SIZE = Objective(mode="pareto", metric="acc", direction="maximize", against="size")


def row(**values: Any) -> dict[str, Any]:
    names = {"acc": "metric/acc", "loss": "metric/loss", "health": "health/overall", "size": "model_parameters"}
    return {names[name]: value for name, value in values.items()}


def test_the_objective_of_each_mode() -> None:
    assert objective_of(SIMPLE, row(acc=0.8, health=0.1)) == 0.8
    assert objective_of(HEALTH, row(acc=0.8, health=0.4)) == pytest.approx(0.75 * 0.8 + 0.25 * 0.4)
    assert objective_of(LOSS, row(loss=0.5, health=0.4)) == pytest.approx(0.7 * 0.5 + 0.3 * 0.6)
    assert objective_of(SIZE, row(acc=0.8, size=7)) == 0.8
    assert objectives_of(SIZE, row(acc=0.8, size=7)) == [0.8, 7]
    assert directions_of(SIZE) == ["maximize", "minimize"]


def test_it_is_unknown_if_a_figure_is_unknown() -> None:
    assert objective_of(HEALTH, row(acc=0.8, health=None)) is None
    assert objective_of(HEALTH, row(acc=None, health=0.8)) is None
    assert objective_of(SIMPLE, row(acc=None)) is None


def test_more_health_is_better_in_both_directions() -> None:
    assert objective_of(HEALTH, row(acc=0.5, health=0.9)) > objective_of(HEALTH, row(acc=0.5, health=0.1))  # type: ignore[operator]
    assert objective_of(LOSS, row(loss=0.5, health=0.9)) < objective_of(LOSS, row(loss=0.5, health=0.1))  # type: ignore[operator]


def test_a_front() -> None:
    rows = [row(acc=a, size=s) for a, s in [(0.9, 100), (0.8, 50), (0.7, 60), (0.95, 400), (0.8, 50), (0.6, None)]]
    assert front(SIZE, rows) == [3, 0, 1, 4]
    assert front(SIZE, []) == []


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=20))
def test_a_front_holds_what_nothing_beats(points: list[tuple[int, int]]) -> None:
    found = front(SIZE, [row(acc=a, size=s) for a, s in points])

    def beats(one: tuple[int, int], other: tuple[int, int]) -> bool:
        return one[0] >= other[0] and one[1] <= other[1] and one != other

    assert set(found) == {i for i, point in enumerate(points) if not any(beats(other, point) for other in points)}
    assert [points[i][0] for i in found] == sorted((points[i][0] for i in found), reverse=True)
