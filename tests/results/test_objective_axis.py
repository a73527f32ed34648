"""The axis of an objective: its range, how it formats values, and which values it moves to its edge."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from tune_app.results.plots.objective_axis import objective_axis, value_axis
from tune_app.spaces.spec import Spec


def table(completed: list[float], pruned: list[float] | None = None) -> pd.DataFrame:
    values = [*completed, *(pruned or [])]
    states = ["COMPLETED"] * len(completed) + ["PRUNED"] * len(pruned or [])
    return pd.DataFrame({"trial": range(len(values)), "state": states, "objective": values})


def test_a_share_is_drawn_on_the_logarithm_of_its_error(spec: Spec) -> None:
    axis = objective_axis(table([0.8, 0.9, 0.98, 0.99]), spec.objective)
    eighty, ninety, nearly, best = axis.drawn([0.8, 0.9, 0.98, 0.99])
    assert ninety - eighty == pytest.approx(best - nearly) == pytest.approx(math.log10(2))
    assert axis.values(axis.levels([0.8, 0.98])) == pytest.approx([0.8, 0.98])
    texts = axis.layout()["ticktext"]
    assert {"80%", "90%", "98%"} <= set(texts)


def test_a_perfect_share_has_a_place(spec: Spec) -> None:
    axis = objective_axis(table([0.9, 0.98, 0.99, 1.0]), spec.objective)
    assert np.isfinite(axis.drawn([1.0])).all()
    assert axis.drawn([1.0]) > axis.drawn([0.99])
    assert axis.layout()["ticktext"][-1] == "100%"
    assert not axis.outside([1.0]).any()


def test_the_tick_of_a_perfect_share_has_room(spec: Spec) -> None:
    axis = objective_axis(table([0.6, 0.9, 0.98, 0.9967, 1.0]), spec.objective)
    levels, texts = axis.ticks()
    low, high = axis.edges
    assert texts[-1] == "100%"
    assert len(texts) > 4
    assert levels[-1] - max(levels[:-1]) > 0.07 * (high - low)


def test_completed_trials_set_the_range(spec: Spec) -> None:
    axis = objective_axis(table([0.95, 0.96, 0.97, 0.98], [0.3, 0.955]), spec.objective)
    assert list(axis.outside([0.3, 0.955, 0.98])) == [True, False, False]


def test_the_better_side_is_never_cut(spec: Spec, spec_with: Callable[..., Spec]) -> None:
    axis = objective_axis(table([0.500, 0.501, 0.502, 0.503, 0.999], [0.9999]), spec.objective)
    assert not axis.outside([0.999, 0.9999]).any()
    loss = spec_with(objective={"metric": "val_loss"}).objective
    axis = objective_axis(table([1.00, 1.01, 1.02, 1.03, 1e-6, 50.0]), loss)
    assert list(axis.outside([1e-6, 50.0])) == [False, True]


def test_a_linear_axis_makes_room_for_others_but_completed_trials_keep_a_third(spec_with: Callable[..., Spec]) -> None:
    loss = spec_with(objective={"metric": "val_loss"}).objective
    completed = [0.30, 0.32, 0.35, 0.40]
    near = objective_axis(table(completed, [0.42, 0.45, 0.48, 0.5, 2.3]), loss)
    assert list(near.outside([*completed, 0.42, 0.45, 0.48, 2.3])) == [False] * 7 + [True]
    far = objective_axis(table(completed, [2.2, 2.3, 2.3, 2.4, 2.4]), loss)
    assert far.outside([2.2]).all()
    assert (far.low, far.high) == pytest.approx((0.30, 0.60)), "a third of the axis belongs to the completed trials"
    higher = objective_axis(table([0.6, 0.7, 0.8, 0.9] * 5, [0.5, 0.55, 0.1]), spec_with().objective, log=False)
    assert list(higher.outside([0.55, 0.5, 0.1])) == [False, False, True]


def test_a_log_axis_on_request_draws_values_without_a_logarithm_at_the_edge(spec_with: Callable[..., Spec]) -> None:
    loss = spec_with(objective={"metric": "val_loss"}).objective
    axis = objective_axis(table([0.01, 0.1, 1.0, 10.0], [-1.0]), loss, log=True)
    assert axis.layout()["type"] == "log"
    assert axis.layout()["tickformat"] == ",.4~g"
    assert axis.outside([-1.0]).all()
    assert np.isfinite(axis.drawn([-1.0])).all(), "it is drawn at the edge"


def test_without_a_direction_no_side_is_cut() -> None:
    values = pd.Series([1.0, 1.1, 1.2, 1.3, 99.0])
    axis = value_axis("metric/val_f", values, values, None)
    assert not axis.outside([99.0]).any()


@pytest.mark.parametrize(("values", "text"), [([0.5], "50%"), ([0.5, 0.5, 0.5, 0.5, 0.5], "50%")])
def test_equal_values_have_an_axis_around_them(spec: Spec, values: list[float], text: str) -> None:
    axis = objective_axis(table(values), spec.objective)
    low, high = axis.edges
    assert low < axis.levels([0.5])[0] < high
    assert axis.text(0.5) == text


def test_numbers_have_commas_and_percentages_no_space(spec: Spec, spec_with: Callable[..., Spec]) -> None:
    assert objective_axis(table([0.96713]), spec.objective).text(0.96713) == "96.71%"
    loss = spec_with(objective={"metric": "val_loss"}).objective
    assert objective_axis(table([1234.5]), loss).text(1234.4) == "1,234"


def test_ticks_are_few_and_within_the_axis(spec: Spec, spec_with: Callable[..., Spec]) -> None:
    loss = spec_with(objective={"metric": "val_loss"}).objective
    for objective in (spec.objective, loss):
        for spread in (1e-4, 1e-2, 0.3):
            values = list(0.5 + spread * np.linspace(0, 1, 9))
            axis = objective_axis(table(values), objective)
            levels, texts = axis.ticks()
            low, high = axis.edges
            assert 2 <= len(levels) <= 16
            assert len(set(texts)) == len(texts)
            assert ((levels >= low) & (levels <= high)).all()
