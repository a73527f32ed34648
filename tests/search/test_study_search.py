"""What the sampler proposes and what it learns, without Ray."""

from __future__ import annotations

import statistics
import time
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from tune_app.search.frozen_trial import frozen_trial
from tune_app.search.samplers import make_sampler
from tune_app.search.study_search import StudySearch
from tune_app.spaces.expression import Expression
from tune_app.spaces.section import Objective
from tune_app.spaces.space import Space
from tune_app.spaces.strategy import SAMPLERS
from tune_app.spaces.variable import Categorical, Float, Int, Variable
from tune_app.store.event_log import TrialRecord
from tune_app.store.trial_row import TrialRow
from tune_app.store.trial_row import TrialState as TrialEnd

VARIABLES = (
    Variable("width", "architecture", Int(1, 1000), 10, "A width."),
    Variable("heads", "architecture", Int(1, 100), 1, "A number of heads."),
    Variable("optimizer", "training", Categorical(("sgd", "adam")), "adam", "An optimizer."),
    Variable("momentum", "training", Float(0.0, 1.0), 0.9, "Its momentum."),
    Variable("rate", "training", Float(1e-5, 1.0, log=True), 0.1, "A learning rate."),
)

SCORE = Objective(metric="score", direction="maximize")


def make_space(*constraints: str) -> Space:
    searched = {v.name: v.domain for v in VARIABLES}
    when = {"momentum": Expression.parse("optimizer == 'sgd'")}
    return Space(VARIABLES, searched, {}, when, tuple(Expression.parse(text) for text in constraints))


def ended(state: str, epochs: int, **facts: Any) -> TrialRow:
    began, end = "2026-01-01T00:00:00+00:00", "2026-01-01T00:01:00+00:00"
    return TrialRow(0, "t0", TrialEnd(state), epochs, began, end, 60.0, 1, 1, **facts)


def search_of(space: Space, sampler: str = "tpe", objective: Objective = SCORE) -> StudySearch:
    return StudySearch(space, objective, make_sampler(sampler, space, 0, 100, 5))


def result(*values: float, finished: bool, **more: Any) -> dict[str, Any]:
    rows = [{"epoch": epoch, "metric/score": value} for epoch, value in enumerate(values, 1)]
    return {"rows": rows, "finished": finished, "epoch": len(values), **more}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_tight_constraints_are_met_within_50_ms_a_suggestion(sampler: str) -> None:
    space = make_space("width % heads == 0", "heads > 40", "heads % 5 == 0")  # at most about 1 in 100 is feasible
    search = search_of(space, sampler)
    times = []
    for number in range(60 if sampler != "gp" else 15):
        began = time.process_time()
        config = search.suggest(f"t{number}")
        times.append(time.process_time() - began)
        assert not space.violated(config)
        search.on_trial_complete(f"t{number}", result(config["rate"], finished=True))
    if sampler != "gp":  # gp takes half a second even without constraints
        assert statistics.median(times) < 0.05


@pytest.mark.parametrize("sampler", ["gp", "nsga2"])
def test_a_sampler_that_ignores_pruned_trials_gets_their_last_value(sampler: str) -> None:
    search = search_of(make_space(), sampler)
    search.suggest("t")
    search.on_trial_complete("t", result(0.1, 0.2, finished=False))
    row = ended("PRUNED", 1, objective=0.4, failure_kind=None, error=None)
    config = make_space().fill(lambda name: make_space().by_name[name].default)
    epochs = {1: {"epoch": 1, "metric/score": 0.4}}
    search.remember([TrialRecord(1, "t1", config, 1, 1, row.started_at, epochs, row)])
    told = [(trial.state, trial.value) for trial in search._ot_study.get_trials()]
    assert told == [(TrialState.COMPLETE, 0.2), (TrialState.COMPLETE, 0.4)]


def test_a_variable_that_does_not_apply_is_not_in_the_optuna_trial() -> None:
    search = search_of(make_space())
    for number in range(20):
        config = search.suggest(f"t{number}")
        params = search._ot_trials[f"t{number}"].params
        assert ("momentum" in params) == (config["optimizer"] == "sgd")
        assert set(config) == {v.name for v in VARIABLES}
        if config["optimizer"] == "adam":
            assert config["momentum"] == 0.9


@pytest.mark.parametrize(
    ("told", "state", "value", "reports"),
    [
        (result(0.1, 0.2, 0.3, finished=True), TrialState.COMPLETE, 0.3, {1: 0.1, 2: 0.2, 3: 0.3}),
        (result(0.1, 0.2, finished=False), TrialState.PRUNED, 0.2, {1: 0.1, 2: 0.2}),
        (result(0.9, finished=False, failure_kind="diverged"), TrialState.PRUNED, None, {}),
        (result(0.9, finished=False, failure_kind="oom"), TrialState.PRUNED, None, {}),
        (result(0.9, finished=False, failure_kind="error"), TrialState.FAIL, None, {}),
        (None, TrialState.FAIL, None, {}),
    ],
)
def test_optuna_learns_how_a_trial_ended(told: Any, state: TrialState, value: Any, reports: dict[int, float]) -> None:
    search = search_of(make_space())
    search.suggest("t")
    search.on_trial_complete("t", told, error=told is None)
    (trial,) = search._ot_study.get_trials()
    assert (trial.state, trial.value, trial.intermediate_values) == (state, value, reports)


def test_the_sampler_avoids_regions_where_trials_diverge() -> None:
    space = make_space()
    search = search_of(space)
    for number in range(60):
        config = search.suggest(f"t{number}")
        bad = config["rate"] > 0.01
        told = result(finished=False, failure_kind="diverged") if bad else result(0.5, finished=True)
        search.on_trial_complete(f"t{number}", told)
    late = [search.suggest(f"late{number}")["rate"] for number in range(30)]
    # Two fifths of the logarithmic range are bad: a sampler that learns nothing would be there 12 times in 30.
    assert sum(rate > 0.01 for rate in late) <= 5


def test_remembered_trials_count_like_those_of_this_process() -> None:
    space = make_space()
    search = search_of(space)
    row = ended("COMPLETED", 2, objective=0.7, failure_kind=None, error=None)
    config = space.fill(lambda name: {"optimizer": "sgd"}.get(name, space.by_name[name].default))
    epochs = {n: {"epoch": n, "metric/score": 0.35 * n} for n in (1, 2)}
    record = TrialRecord(0, "t0", config, 1, 1, row.started_at, epochs, row)
    search.remember([record])
    (trial,) = search._ot_study.get_trials()
    assert (trial.state, trial.value, trial.params) == (TrialState.COMPLETE, 0.7, space.params_of(config))
    assert trial.intermediate_values == {1: 0.35, 2: 0.7}


def test_a_diverged_trial_is_a_failure_in_the_journal() -> None:
    space = make_space()
    row = ended("FAILED", 0, objective=None, failure_kind="diverged", error="nan")
    config = space.fill(lambda name: space.by_name[name].default)
    record = TrialRecord(0, "t0", config, 1, 1, row.started_at, {}, row)
    trial = frozen_trial(space, record, SCORE)
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["failure_kind"] == "diverged"


def test_an_adopted_configuration_is_unchanged() -> None:
    space = make_space()
    search = search_of(space)
    config = space.fill(lambda name: space.by_name[name].default)
    assert search.adopt("t", config) == config
    assert isinstance(search._ot_study, optuna.Study)
    assert search._ot_trials["t"].params == space.params_of(config)


def test_cma_es_learns_from_pruned_trials_that_lack_a_variable() -> None:
    space = make_space()
    for seed in range(4):
        search = StudySearch(space, SCORE, make_sampler("cma-es", space, seed, 60, 5))
        for number in range(60):
            config = search.suggest(f"t{number}")
            # All completed trials have a momentum, so Optuna would adapt it.
            finished = config["optimizer"] == "sgd"
            search.on_trial_complete(f"t{number}", result(float(number), finished=finished))
        told = search._ot_study.trials
        assert [trial.state for trial in told if "momentum" in trial.params] == [TrialState.COMPLETE] * (
            sum(trial.params["optimizer"] == "sgd" for trial in told)
        )
        assert {trial.state for trial in told if "momentum" not in trial.params} == {TrialState.PRUNED}
        assert [trial.value for trial in told] == [float(number) for number in range(60)]
