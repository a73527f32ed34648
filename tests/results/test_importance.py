"""Which variables mattered: shares, their spread, directions, and when nothing is told."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tune_app.errors import WorkFailed
from tune_app.results.importance import (
    LEAST_TRIALS,
    TRIALS_PER_VARIABLE,
    UNCLEAR,
    active_rows,
    by_association,
    direction,
    importance,
    importances,
)
from tune_app.spaces.spec import Spec

RATE, OPTIMIZER = "config/training/learning_rate", "config/training/optimizer"


def test_what_explains_the_objective_comes_first_with_its_spread(trials: pd.DataFrame, spec: Spec) -> None:
    found = importances(spec, trials)
    assert next(iter(found)) == "learning_rate"
    assert found["learning_rate"].share > 0.7
    assert set(found) == set(spec.space.searched)
    assert sum(one.share for one in found.values()) == pytest.approx(1.0)
    for one in found.values():
        assert one.low <= one.share <= one.high
    assert any(one.low < one.high for one in found.values())
    assert found["learning_rate"].direction.startswith("best: "), "the objective falls on both sides of 0.01"
    assert importances(spec, trials) == found
    assert importance(spec, trials) == {name: one.share for name, one in found.items()}
    some = importance(spec, trials, most=12)
    assert some != importance(spec, trials)
    assert importance(spec, trials, most=12) == some, "the same trials are drawn"


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
    active = active_rows(spec, trials, "momentum")
    assert list(active) == list(trials[OPTIMIZER] == "sgd")
    assert active_rows(spec, trials, "learning_rate").all()
    # Of the inactive ones all have the default, which here comes with the best objective.
    objective = trials["config/training/momentum"].where(active, 9.0)
    assert direction(spec, trials.assign(objective=objective), "momentum") == "higher is better"


def test_variables_in_the_order_of_their_association(trials: pd.DataFrame, spec: Spec) -> None:
    # What falls on both sides of its best value has no rank correlation, so the objective rises with the rate here.
    rising = trials.assign(objective=trials[RATE].where(trials["objective"].notna()))
    assert by_association(spec, rising)[0] == "learning_rate"
    by_choice = trials.assign(objective=(trials[OPTIMIZER] == "sgd").astype(float))
    assert by_association(spec, by_choice)[0] == "optimizer"
    assert set(by_association(spec, trials.head(0))) == set(spec.space.searched)


def test_importances_of_too_few_or_equal_trials_are_refused(trials: pd.DataFrame, spec: Spec) -> None:
    needed = max(LEAST_TRIALS, TRIALS_PER_VARIABLE * 4)
    completed = trials[trials["state"] == "COMPLETED"]
    assert len(completed) >= needed
    with pytest.raises(WorkFailed, match=f"of 4 variables need {needed} completed trials, but the study has 11"):
        importances(spec, completed.head(11))
    with pytest.raises(WorkFailed, match="the same objective"):
        importances(spec, trials.assign(objective=0.5))
