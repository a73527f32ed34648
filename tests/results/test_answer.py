"""The headline answer of a study."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tune_app.results.answer import Answer, answer_of, cost_of
from tune_app.results.review import load_epochs, load_trials
from tune_app.spaces.spec import Spec


@pytest.fixture
def tables(tmp_path: Path, make_study: Any, make_spec: Callable[..., Spec]) -> Callable[..., Any]:
    def read(spec: Spec | None = None, **study: Any) -> tuple[Spec, pd.DataFrame, pd.DataFrame]:
        spec = spec or make_spec(budget={"trials": 5, "epochs": 3})
        make_study(tmp_path, spec, **study)
        return spec, load_trials(spec.name, tmp_path), load_epochs(spec.name, tmp_path)

    return read


def answered(spec: Spec, trials: pd.DataFrame, epochs: pd.DataFrame) -> Answer:
    found = answer_of(spec, trials, epochs)
    assert found is not None
    return found


def test_the_winner_its_gain_and_its_lead(tables: Callable[..., Any]) -> None:
    spec, trials, epochs = tables()
    trials.loc[trials["trial"] == 4, "objective"] = 0.95
    answer = answered(spec, trials, epochs)
    assert (answer.trial, answer.value) == (4, 0.95)
    assert answer.first == answer.runner_up == 0
    assert answer.gain == answer.lead == pytest.approx(0.05)
    assert answer.spread is None, "three epochs are too few to tell noise from a trend"
    assert set(answer.variables) <= set(spec.space.searched)


def test_less_is_better(tables: Callable[..., Any], make_spec: Callable[..., Spec]) -> None:
    spec, trials, epochs = tables(make_spec(objective={"metric": "val_loss"}, budget={"trials": 5, "epochs": 3}))
    trials["objective"] = trials["metric/val_loss"]
    trials.loc[trials["trial"] == 2, "objective"] = 0.25
    answer = answered(spec, trials, epochs)
    assert (answer.trial, answer.first, answer.gain) == (2, 0, 0.75)


def test_the_spread_is_measured_around_the_trend(trials: pd.DataFrame, spec: Spec, epochs: pd.DataFrame) -> None:
    def spread(*accuracies: float | None) -> float | None:
        curve = pd.DataFrame({"epoch": range(1, len(accuracies) + 1), "metric/val_accuracy": accuracies})
        return answered(spec, trials, curve.assign(trial=winner)).spread

    winner = answered(spec, trials, epochs).trial
    assert spread(0.5, 0.6, 0.7, 0.8) == pytest.approx(0), "a steady climb is not noise"
    bent = spread(0.80, 0.91, 0.95, 0.957)
    assert bent is not None
    assert bent < 0.025
    noise = np.random.default_rng(0).normal(0, 0.01, (400, 5)) + 0.02 * np.arange(5)
    found = [spread(*row) or 0.0 for row in noise]
    assert np.mean(np.square(found)) == pytest.approx(0.01**2, rel=0.1)
    assert spread(0.5, 0.6, 0.9) is None
    assert spread(0.5, None, 0.6, 0.9) is None


def test_what_is_unknown(tables: Callable[..., Any], make_spec: Callable[..., Spec]) -> None:
    spec, trials, epochs = tables(make_spec(budget={"trials": 5, "epochs": 1}), ends=("COMPLETED", "FAILED"))
    answer = answered(spec, trials, epochs)
    assert (answer.trial, answer.first, answer.gain, answer.runner_up, answer.lead) == (0, None, None, None, None)
    assert answer.spread is None, "a single epoch has no spread"
    assert answer_of(spec, trials[trials["state"] == "FAILED"], epochs) is None


def test_the_cost_counts_epochs_and_devices(tables: Callable[..., Any]) -> None:
    spec, trials, _ = tables()
    cost = cost_of(spec, trials)
    assert cost.states == {"COMPLETED": 3, "PRUNED": 1, "FAILED": 1}
    assert (cost.epochs, cost.saved) == (10, 2), "the pruned trial trained one of three; the failed one saved none"
    assert (cost.device, cost.gpu_utilization) == ("CPU", None)
    assert cost.device_s == 5 * 1.5
    two = replace(spec, resources=replace_resources(spec, cpus=2.0))
    assert cost_of(two, trials).device_s == 5 * 1.5 * 2
    trials["gpu_fraction"], trials["device"] = 0.5, ["cuda:0", "cuda:1", "cuda:0", "cuda:1", "cpu"]
    assert cost_of(spec, trials).device_s == 5 * 1.5 * 0.5
    assert cost_of(spec, trials).device is None
    trials["device"], trials["gpu_utilization"] = "NVIDIA H100", [90.0, 50.0, math.nan, 40.0, 60.0]
    cost = cost_of(spec, trials)
    assert cost.device == "GPU"
    assert cost.gpu_utilization == pytest.approx(60.0), "the mean of the trials that report it"


def replace_resources(spec: Spec, **values: Any) -> Any:
    return spec.resources.model_copy(update=values)


def test_only_variables_above_chance_are_named(trials: pd.DataFrame, spec: Spec, epochs: pd.DataFrame) -> None:
    completed = trials[trials["objective"].notna()].assign(state="COMPLETED")
    assert list(answered(spec, completed, epochs).variables) == ["learning_rate"]
    noise = completed.assign(objective=np.random.default_rng(0).random(len(completed)))
    assert not answered(spec, noise, epochs).variables
