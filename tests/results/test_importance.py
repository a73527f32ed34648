"""Which variables mattered: shares, their spread, directions, and when there is no answer."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tune_app.errors import WorkFailed
from tune_app.results.effect import active_rows
from tune_app.results.importance import (
    LEAST_TRIALS,
    TRIALS_PER_VARIABLE,
    UNCLEAR,
    associations,
    by_association,
    direction,
    importance,
    importances,
)
from tune_app.spaces.spec import Spec

RATE, OPTIMIZER = "config/training/learning_rate", "config/training/optimizer"


def test_the_most_important_variable_comes_first_with_its_spread(trials: pd.DataFrame, spec: Spec) -> None:
    found = importances(spec, trials)
    assert next(iter(found)) == "learning_rate"
    assert found["learning_rate"].share > 0.7
    assert set(found) == set(spec.space.searched)
    assert sum(one.share for one in found.values()) == pytest.approx(1.0)
    for one in found.values():
        assert one.low <= one.share <= one.high
    assert any(one.low < one.high for one in found.values())
    assert found["learning_rate"].direction.startswith("best: "), "the objective gets worse on both sides of 0.01"
    assert importances(spec, trials) == found
    assert importance(spec, trials) == {name: one.share for name, one in found.items()}
    some = importance(spec, trials, most=12)
    assert some != importance(spec, trials)
    assert importance(spec, trials, most=12) == some, "the same sample of trials is drawn"


def test_directions_by_ranks(trials: pd.DataFrame, spec: Spec) -> None:
    rising = trials.assign(objective=trials[RATE])
    assert direction(spec, rising, "learning_rate") == "higher is better"
    assert direction(spec, trials.assign(objective=-trials[RATE]), "learning_rate") == "lower is better"
    by_choice = trials.assign(objective=(trials[OPTIMIZER] == "sgd").astype(float))
    assert direction(spec, by_choice, "optimizer") == "best: sgd"
    noise = trials.assign(objective=np.random.default_rng(3).random(len(trials)))
    assert direction(spec, noise, "filters") == UNCLEAR
    assert direction(spec, trials.assign(objective=0.5), "filters") == UNCLEAR


def test_a_direction_counts_only_trials_in_which_the_variable_had_an_effect(trials: pd.DataFrame, spec: Spec) -> None:
    active = active_rows(spec.space, trials, "momentum")
    assert list(active) == list(trials[OPTIMIZER] == "sgd")
    assert active_rows(spec.space, trials, "learning_rate").all()
    # All inactive trials have the default, which here goes with the best objective.
    objective = trials["config/training/momentum"].where(active, 9.0)
    assert direction(spec, trials.assign(objective=objective), "momentum") == "higher is better"


def ended(trials: pd.DataFrame, objective: Any, state: str = "COMPLETED") -> pd.DataFrame:
    return trials.assign(objective=objective, state=state)


def test_variables_in_the_order_of_their_association(trials: pd.DataFrame, spec: Spec) -> None:
    completed = ended(trials, trials["objective"])
    found = associations(spec, completed)
    assert next(iter(found)) == "learning_rate", "its best value is in the middle, so a correlation would miss it"
    assert found["learning_rate"].clear
    assert not any(one.clear for name, one in found.items() if name != "learning_rate")
    assert by_association(spec, completed) == list(found)
    by_choice = ended(trials, (trials[OPTIMIZER] == "sgd").astype(float))
    assert by_association(spec, by_choice)[0] == "optimizer"
    assert set(by_association(spec, trials.head(0))) == set(spec.space.searched)
    assert not any(one.clear for one in associations(spec, trials.head(3)).values())


def test_values_without_an_effect_have_no_association(trials: pd.DataFrame, spec: Spec) -> None:
    # adamw is best, and all its trials have the task's default momentum.
    by_choice = ended(trials, (trials[OPTIMIZER] == "adamw") + np.random.default_rng(0).random(len(trials)) / 9)
    found = associations(spec, by_choice)
    assert found["optimizer"].clear
    assert not found["momentum"].clear
    assert found["momentum"].strength < 0.1


def test_pruned_trials_are_compared_at_the_same_number_of_epochs(trials: pd.DataFrame, spec: Spec) -> None:
    # The rate decides how good a trial is; its number of epochs, which improves any result, was left to chance.
    short = trials["trial"] % 2 == 0
    mixed = ended(trials, -trials[RATE] - 10.0 * short, "PRUNED").assign(epochs=np.where(short, 1, 3))
    assert by_association(spec, mixed)[0] == "learning_rate"
    # What decides which trials continue counts, even though the stopped ones ended with higher values.
    adamw = trials[OPTIMIZER] == "adamw"
    stopped = ended(trials, np.where(adamw, 0.5, 0.9)).assign(
        state=np.where(adamw, "COMPLETED", "PRUNED"), epochs=np.where(adamw, 9, 1)
    )
    assert associations(spec, stopped)["optimizer"].clear
    cancelled = stopped.assign(state=np.where(adamw, "COMPLETED", "CANCELLED"))
    assert not associations(spec, cancelled)["optimizer"].clear, "cancelled trials were never judged to be worse"


def test_noise_is_rarely_above_chance_and_ten_thousand_trials_are_fast(trials: pd.DataFrame, spec: Spec) -> None:
    rng = np.random.default_rng(1)
    named = [
        any(one.clear for one in associations(spec, ended(trials, rng.random(len(trials)))).values())
        for _ in range(100)
    ]
    assert sum(named) <= 10, "5 of 100 are expected"
    many = pd.concat([trials] * 250, ignore_index=True)
    begun = time.process_time()
    associations(spec, many)
    assert time.process_time() - begun < 0.5


def test_importances_of_too_few_or_equal_trials_are_rejected(trials: pd.DataFrame, spec: Spec) -> None:
    needed = max(LEAST_TRIALS, TRIALS_PER_VARIABLE * 4)
    completed = trials[trials["state"] == "COMPLETED"]
    assert len(completed) >= needed
    with pytest.raises(WorkFailed, match=f"of 4 variables need {needed} completed trials, but the study has 11"):
        importances(spec, completed.head(11))
    with pytest.raises(WorkFailed, match="the same objective"):
        importances(spec, trials.assign(objective=0.5))
