"""Variables and their domains: what they accept, reject, and sample, and their messages."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tune_app.spaces.variable import (
    Categorical,
    Domain,
    Float,
    Int,
    Variable,
    flatten_config,
    group_config,
)


@pytest.mark.parametrize(
    ("kind", "arguments", "rule"),
    [
        (Float, {"low": 3, "high": 1}, "`low` <= `high` must hold, but got 3.0 and 1.0"),
        (Float, {"low": "1e-4", "high": 1}, "`low` must be a finite number, but got '1e-4'"),
        (Float, {"low": 0, "high": math.inf}, "`high` must be a finite number, but got inf"),
        (Float, {"low": math.nan, "high": 1}, "`low` must be a finite number"),
        (Float, {"low": True, "high": 1}, "`low` must be a finite number, but got True"),
        (Float, {"low": 0, "high": 1, "log": True}, "`low` must be above 0 if `log` is true, but got 0.0"),
        (Float, {"low": 1, "high": 2, "step": 0}, "`step` must be a number above 0, but got 0"),
        (Float, {"low": 1, "high": 2, "step": -0.1}, "`step` must be a number above 0"),
        (Float, {"low": 1, "high": 2, "log": True, "step": 0.1}, "`log` and `step` cannot be combined"),
        (Float, {"low": 0, "high": 1, "step": 1e-9}, "`step` must leave at most"),
        (Float, {"low": 1e10, "high": 2e10, "step": 12345.678901234567}, "`step` must have few digits"),
        (Int, {"low": 3, "high": 1}, "`low` <= `high` must hold, but got 3 and 1"),
        (Int, {"low": 1.0, "high": 2}, "`low` must be a whole number, but got 1.0"),
        (Int, {"low": 1, "high": True}, "`high` must be a whole number, but got True"),
        (Int, {"low": 0, "high": 2, "log": True}, "`low` must be above 0 if `log` is true, but got 0"),
        (Int, {"low": 1, "high": 2, "step": 0}, "`step` must be at least 1, but got 0"),
        (Int, {"low": 1, "high": 8, "step": 2, "log": True}, "`log` and `step` cannot be combined"),
        (Categorical, {"choices": ()}, "at least one value"),
        (Categorical, {"choices": "sgd"}, "must be a list"),
        (Categorical, {"choices": (1, None)}, "a choice must be a string, a finite number"),
        (Categorical, {"choices": (1, math.nan)}, "a choice must be a string, a finite number"),
        (Categorical, {"choices": (1, 2, 1)}, "must be distinct, but 1 equals 1"),
        (Categorical, {"choices": (1, True)}, "must be distinct, but 1 equals True"),
    ],
)
def test_invalid_domains_are_rejected(kind: type, arguments: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule.replace("(", r"\(")):
        kind(**arguments)


@pytest.mark.parametrize(
    ("domain", "inside", "outside"),
    [
        (Float(0.1, 0.9), [0.1, 0.5, 0.9], [0.0, 1, True, "0.5", None, math.nan]),
        (Float(0, 1), [0, 1, 0.3], [2, False]),
        (Float(0.1, 0.5, step=0.1), [0.1, 0.1 + 2 * 0.1, 0.5], [0.15, 0.6]),
        (Int(1, 9, step=4), [1, 5, 9], [2, 5.0, True, "5", 13]),
        (Categorical((1, 2, "a")), [1, 2, "a", 1.0], [True, "1", None, [1]]),
        (Categorical((True, "off")), [True, "off"], [1, False, "on"]),
    ],
)
def test_it_contains(domain: Domain, inside: list[object], outside: list[object]) -> None:
    assert all(domain.contains(value) for value in inside)
    assert not any(domain.contains(value) for value in outside)


def test_high_is_on_the_grid() -> None:
    assert Int(1, 10, step=4) == Int(1, 9, step=4)
    assert Float(0.1, 1.0, step=0.4) == Float(0.1, 0.9, step=0.4)


def test_log_draws_are_uniform_in_the_logarithm() -> None:
    rng = np.random.default_rng(0)
    drawn = [math.log10(Float(1e-4, 1.0, log=True).sample(rng)) for _ in range(4000)]
    assert np.mean(drawn) == pytest.approx(-2, abs=0.1)
    whole = [Int(1, 100, log=True).sample(rng) for _ in range(4000)]
    assert np.mean(np.array(whole) <= 10) == pytest.approx(math.log(10.5 / 0.5) / math.log(100.5 / 0.5), abs=0.05)


def test_a_variable_checks_its_default() -> None:
    assert Variable("rate", "training", Float(0, 1), 0.5, "Rate.").key == "training.rate"
    with pytest.raises(ValueError, match=r"the default of `rate` must be a number from 0 to 1, but got 2\.0"):
        Variable("rate", "training", Float(0, 1), 2.0, "Rate.")


def test_grouping_goes_both_ways() -> None:
    variables = (
        Variable("rate", "training", Float(0, 1), 0.5, "Rate."),
        Variable("layers", "architecture", Int(1, 3), 1, "Layers."),
    )
    config = {"rate": 0.1, "layers": 2}
    grouped = group_config(config, variables)
    assert grouped == {"architecture": {"layers": 2}, "training": {"rate": 0.1}, "data": {}, "inference": {}}
    assert list(grouped) == ["architecture", "training", "data", "inference"]
    assert flatten_config(grouped) == config
