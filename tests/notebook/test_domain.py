"""Domains from Python, Ray Tune, and Optuna, converted to those of a search space."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from ray import tune

import tune_app
from tune_app.errors import InputError
from tune_app.notebook.domain import parameters_of
from tune_app.spaces.variable import Float, domain_from_dict


def read(domain: Any) -> Any:
    return domain_from_dict(parameters_of({"x": domain})["x"])


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (tune.uniform(0, 1), tune_app.Float(0.0, 1.0)),
        (tune.loguniform(1e-4, 1), tune_app.Float(1e-4, 1.0, log=True)),
        (tune.quniform(0.1, 1.0, 0.1), tune_app.Float(0.1, 1.0, step=0.1)),
        (tune.quniform(0, 10, 1), tune_app.Float(0.0, 10.0, step=1.0)),
        (tune.choice([np.int64(1), 2]), tune_app.Categorical((1, 2))),
        (tune.choice(np.array([0.1, 0.2])), tune_app.Categorical((0.1, 0.2))),
        (tune.randint(1, 10), tune_app.Int(1, 9)),
        (tune.qrandint(1, 10, 1), tune_app.Int(1, 9)),
        (tune.lograndint(1, 100), tune_app.Int(1, 99, log=True)),
        (tune.qrandint(3, 10, 2), tune_app.Int(4, 10, step=2)),
        (tune.choice(["a", "b"]), tune_app.Categorical(("a", "b"))),
        (tune.grid_search([1, 2]), tune_app.Categorical((1, 2))),
        (FloatDistribution(1e-4, 1.0, log=True), tune_app.Float(1e-4, 1.0, log=True)),
        (IntDistribution(2, 10, step=2), tune_app.Int(2, 10, step=2)),
        (CategoricalDistribution(("a", 1)), tune_app.Categorical(("a", 1))),
        (tune_app.Float(0.0, 1.0, step=0.25), tune_app.Float(0.0, 1.0, step=0.25)),
        ({"type": "int", "low": 1, "high": 3}, tune_app.Int(1, 3)),
    ],
)
def test_another_tuners_domain_is_the_same_here(theirs: Any, ours: Any) -> None:
    assert read(theirs) == ours


def test_what_ray_tune_draws_is_in_our_domain() -> None:
    for theirs in (tune.randint(1, 4), tune.qrandint(3, 10, 2), tune.quniform(0.1, 1.0, 0.1), tune.uniform(-1, 1)):
        ours = read(theirs)
        drawn = {theirs.sample() for _ in range(200)}
        assert all(ours.contains(value) for value in drawn)
        if not isinstance(ours, Float):
            assert {ours.low, ours.high} <= drawn, "both ends are drawn"


def test_nested_mappings_have_names_with_dots_and_the_rest_is_fixed() -> None:
    space = {"model": {"width": tune.randint(1, 4), "act": None}, "sizes": (1, 2), "text": "a"}
    assert parameters_of(space) == {
        "model.width": {"type": "int", "low": 1, "high": 3, "log": False},
        "model.act": {"type": "categorical", "choices": [None]},
        "sizes": [1, 2],
        "text": "a",
    }
    assert parameters_of({"opt": {"type": "adam", "lr": np.float32(0.5)}}) == {"opt.type": "adam", "opt.lr": 0.5}
    assert parameters_of({"x": tune.choice([None, (1, 2)])})["x"]["choices"] == [None, [1, 2]]


@pytest.mark.parametrize(
    ("domain", "rule"),
    [
        (tune.randn(0, 1), "`x` is a Float drawn by Normal"),
        (tune.sample_from(lambda spec: 1), "`x` is a Function"),
        (tune.qloguniform(1, 100, 1), "either a log scale or a step, but `x` has both"),
        (tune.qloguniform(1e-3, 1, 1e-3), "either a log scale or a step, but `x` has both"),
    ],
)
def test_what_has_no_equivalent_is_named(domain: Any, rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        parameters_of({"x": domain})
