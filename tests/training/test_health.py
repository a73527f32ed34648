"""The health scores: a sick training against a healthy one, and what they must not depend on."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_app.training.health import (
    LOST_DECADES,
    SCORES,
    WEIGHTS,
    Layer,
    Reading,
    accuracy_consistency,
    convergence_quality,
    gradient_health,
    health,
    neuron_utilization,
    overall,
    parameter_efficiency,
    told,
    training_stability,
)

DIRECTIONS = {"val_accuracy": "maximize", "val_loss": "minimize", "train_loss": "minimize"}
SMOOTH = [2.0 * 0.5**epoch for epoch in range(12)]
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)
LOSSES = st.lists(NUMBERS, min_size=4, max_size=20)
OF_LOSSES = [training_stability, convergence_quality]


def diverging(pace: float) -> list[float]:
    return [*SMOOTH[:4], *(SMOOTH[3] + pace * step for step in range(1, 9))]


def swinging(swing: float) -> list[float]:
    return [loss + (swing if epoch % 2 else -swing) for epoch, loss in enumerate(SMOOTH)]


def falls(values: list[float]) -> bool:
    return all(before > after for before, after in itertools.pairwise(values))


def test_a_healthy_training() -> None:
    assert training_stability(SMOOTH) == 1.0
    quality, consistency = convergence_quality(SMOOTH), accuracy_consistency([-loss for loss in SMOOTH])
    assert quality is not None
    assert quality > 0.99
    assert consistency == 1.0


def test_a_diverging_loss() -> None:
    paces = [0.0, 0.05, 0.2, 1.0, 10.0]
    assert falls([training_stability(diverging(pace)) or 0.0 for pace in paces])
    assert falls([convergence_quality(diverging(pace)) or 0.0 for pace in paces[:4]])
    assert convergence_quality(diverging(10.0)) == 0.0
    assert training_stability([1.0, 2.0, 4.0, 8.0]) == 0.0


def test_a_swinging_loss() -> None:
    swings = [0.0, 0.01, 0.1, 0.5, 2.0]
    for figure in OF_LOSSES:
        assert falls([figure(swinging(swing)) or 0.0 for swing in swings])
    assert training_stability([1.0, 2.0] * 50) == pytest.approx(0.5, abs=0.01)


def test_a_swinging_accuracy() -> None:
    rising = [0.1, 0.6, 0.8, 0.9, 0.92, 0.93, 0.93, 0.94, 0.94, 0.95]
    swung = [[v - (swing if epoch % 2 else 0) for epoch, v in enumerate(rising)] for swing in (0.0, 0.05, 0.1, 0.3)]
    assert falls([accuracy_consistency(values) or 0.0 for values in swung])
    assert accuracy_consistency([0.5, 0.9] * 5) == pytest.approx(0.2)
    assert accuracy_consistency([0.9, 0.5] * 5) == pytest.approx(0.0)


def test_a_metric_that_falls_for_longer_is_less_consistent() -> None:
    lasting = [accuracy_consistency([1.0 - 0.1 * epoch for epoch in range(count)]) or 0.0 for count in (5, 10, 20, 40)]
    assert falls(lasting)
    assert lasting[-1] < 0.1
    assert accuracy_consistency([0.5, 0.7, 0.9, 0.88, 0.9, 0.89]) == pytest.approx(0.95, abs=0.03)


def test_a_loss_that_does_not_move() -> None:
    still = [0.7] * 6
    assert (training_stability(still), convergence_quality(still), accuracy_consistency(still)) == (1.0, 0.0, 1.0)
    zero = [0.0] * 6
    assert (training_stability(zero), convergence_quality(zero), accuracy_consistency(zero)) == (1.0, 0.0, 1.0)


@given(LOSSES, st.sampled_from([1e-3, 0.5, 8.0, 1e3]), st.sampled_from([-3.0, 0.0, 100.0]))
def test_neither_scale_nor_offset_matters(losses: list[float], scale: float, offset: float) -> None:
    losses = [round(loss, 3) for loss in losses]
    other = [scale * loss + offset for loss in losses]
    for figure in (*OF_LOSSES, accuracy_consistency):
        assert figure(other) == pytest.approx(figure(losses), abs=1e-3)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=12))
def test_figures_of_a_history_are_between_0_and_1_or_missing(values: list[float]) -> None:
    found = [(training_stability, 3), (convergence_quality, 4), (accuracy_consistency, 4)]
    for figure, needed in found:
        value = figure(values)
        assert (value is None) == (len(values) < needed)
        assert value is None or 0.0 <= value <= 1.0


@given(LOSSES, st.floats(0.001, 1e6))
def test_a_rise_is_never_more_stable_than_a_fall(losses: list[float], step: float) -> None:
    risen, fallen = training_stability([*losses, losses[-1] + step]), training_stability([*losses, losses[-1] - step])
    assert risen is not None
    assert fallen is not None
    assert risen <= fallen


def layers(*used: int, units: int = 10, dimensions: float = 5.0) -> tuple[Layer, ...]:
    return tuple(Layer(units, count, dimensions, 100) for count in used)


def test_utilization_is_a_share_of_all_units() -> None:
    assert neuron_utilization(layers(10, 10)) == 1.0
    assert neuron_utilization(layers(10, 5)) == 0.75
    assert neuron_utilization((Layer(90, 90, 1, 1), Layer(10, 0, 1, 1))) == 0.9
    assert neuron_utilization(()) is None


def test_efficiency_is_weighted_by_parameters() -> None:
    assert parameter_efficiency((Layer(10, 10, 10.0, 300), Layer(10, 10, 2.0, 100))) == pytest.approx(0.8)
    assert parameter_efficiency(()) is None
    assert parameter_efficiency((Layer(10, 10, 10.0, 0),)) is None, "a frozen network has no parameters to judge"


@given(st.lists(st.floats(-20, 20), min_size=2, max_size=8), st.floats(-10, 10))
def test_gradient_health_depends_only_on_the_decades(decades: list[float], scale: float) -> None:
    figure = gradient_health([10**d for d in decades])
    assert figure == pytest.approx(max(0.0, 1 - (max(decades) - min(decades)) / LOST_DECADES), abs=1e-9)
    assert gradient_health([10 ** (d + scale) for d in decades]) == pytest.approx(figure, abs=1e-9)


def test_gradients_that_vanish_or_overflow() -> None:
    assert gradient_health([0.0, 1.0]) == 0.0
    assert gradient_health([math.inf, 1.0]) == 0.0
    assert gradient_health([math.nan, 1.0]) == 0.0
    assert gradient_health([0.0, 0.0]) is None, "a loss that is exactly zero has no gradient"
    assert gradient_health([1.0]) is None


def test_overall_is_the_weighted_mean_of_known_figures() -> None:
    assert sum(WEIGHTS.values()) == pytest.approx(1.0)
    assert overall(dict.fromkeys(WEIGHTS, 0.25)) == pytest.approx(0.25)
    three = {"neuron_utilization": 0.5, "training_stability": 1.0, "gradient_health": 0.0}
    assert overall({**dict.fromkeys(WEIGHTS), **three}) == pytest.approx((0.25 * 0.5 + 0.20 * 1.0) / 0.60)
    assert overall(dict.fromkeys(WEIGHTS)) is None


def test_one_or_two_scores_are_too_few_for_a_grade() -> None:
    scores: dict[str, float | None] = {**dict.fromkeys(WEIGHTS), "accuracy_consistency": 1.0}
    assert overall(scores) is None
    assert told(scores) == "1 of 6 scores"
    assert overall({**scores, "training_stability": 1.0}) is None


def test_which_metrics_are_used() -> None:
    steady = [{"val_accuracy": 0.1 * e, "val_loss": 1.0 - 0.1 * e, "train_loss": float(e)} for e in range(5)]
    found = health(None, steady, DIRECTIONS)
    assert tuple(found) == SCORES
    assert found["training_stability"] == 0.0, "computed from train_loss, which rises"
    assert found["convergence_quality"] == pytest.approx(0.75), "computed from val_loss"
    assert found["accuracy_consistency"] == 1.0, "computed from the first metric"
    assert found["neuron_utilization"] is found["parameter_efficiency"] is found["gradient_health"] is None
    reading = Reading(layers(8), (1.0, 1.0))
    assert health(reading, steady[:1], DIRECTIONS) == {
        **dict.fromkeys(SCORES),
        "neuron_utilization": 0.8,
        "parameter_efficiency": 0.5,
        "gradient_health": 1.0,
        "overall": pytest.approx((0.25 * 0.8 + 0.15 * 0.5 + 0.15) / 0.55),
    }


def test_a_task_without_losses_and_with_a_main_metric_to_minimize() -> None:
    history: list[dict[str, float | None]] = [{"error": 1.0 / e} for e in range(1, 6)]
    found = health(None, history, {"error": "minimize"})
    assert found == {**dict.fromkeys(SCORES), "accuracy_consistency": 1.0}
    assert health(None, [*history, {"error": None}], {"error": "minimize"}) == found, (
        "an undefined value does not count"
    )
