"""Values without an effect are hidden."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tune_app.results.effect import effective
from tune_app.results.review import load_trials
from tune_app.spaces.spec import Spec

WHEN = {
    "architecture": {
        "dense_layers": {"type": "int", "low": 0, "high": 2},
        "dense_width": {"type": "int", "low": 16, "high": 32, "when": "dense_layers > 0"},
    },
    "training": {
        "optimizer": {"type": "categorical", "choices": ["sgd", "adamw"]},
        "momentum": {"type": "float", "low": 0.0, "high": 0.9, "when": "optimizer == 'sgd' and dense_width > 20"},
    },
}


def test_only_values_with_an_effect_remain(tmp_path: Path, make_study: Any, make_spec: Callable[..., Spec]) -> None:
    spec = make_spec(parameters=WHEN, constraints=[])
    make_study(tmp_path, spec, ends=["COMPLETED"] * 24)
    trials = load_trials(spec.name, tmp_path)
    shown = effective(trials, spec.space)
    layers, width = trials["config/architecture/dense_layers"], shown["config/architecture/dense_width"]
    assert 0 < width.isna().sum() < 24
    assert (width.isna() == (layers == 0)).all()
    assert str(width.dtype) == "Int64"
    given = trials["config/architecture/dense_width"]
    sgd = trials["config/training/optimizer"] == "sgd"
    momentum = shown["config/training/momentum"]
    assert (momentum.notna() == ((layers > 0) & sgd & (given > 20))).all(), "a condition on an inactive variable"
    others = [column for column in trials if column not in (width.name, momentum.name)]
    assert shown[others].equals(trials[others])
    assert spec.space.deciding("momentum") == {"optimizer", "dense_width", "dense_layers"}


def test_a_variable_that_is_not_searched_has_its_own_condition(
    tmp_path: Path, make_study: Any, make_spec: Callable[..., Spec]
) -> None:
    optimizer = {"type": "categorical", "choices": ["sgd", "adamw"]}
    parameters = {"training": {"optimizer": optimizer}, "architecture": {"dense_layers": 0}}
    spec = make_spec(parameters=parameters, constraints=[])
    assert set(spec.space.searched) == {"optimizer"}
    make_study(tmp_path, spec, ends=["COMPLETED"] * 8)
    trials = load_trials(spec.name, tmp_path)
    shown = effective(trials, spec.space)
    sgd = trials["config/training/optimizer"] == "sgd"
    assert 0 < sgd.sum() < 8
    assert (shown["config/training/momentum"].notna() == sgd).all()
    assert shown["config/architecture/dense_width"].isna().all(), "there is no dense layer in any trial"
