"""A sweep in virtual time: what it knows when, what it costs, and that it is reproducible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_app.search.samplers import make_sampler
from tune_app.search.schedule import make_asha, make_none
from tune_app.search.study_search import StudySearch
from tune_app.spaces.section import Objective
from tune_app.spaces.space import Space
from tune_app.spaces.variable import Config, Float, Variable
from tune_app.store.trial_row import TrialState
from tune_app.sweep.replay import Curve, Outcome, replay

RATE = Variable("rate", "training", Float(0.0, 1.0), 0.5, "Rate.")
SPACE = Space((RATE,), {"rate": Float(0.0, 1.0)}, {}, {}, ())
OBJECTIVE = Objective(metric="loss", direction="minimize")
RUNGS = (1, 4)


class Falling:
    """A loss that falls to the rate; a high rate makes a trial slow, and one above 0.95 diverges after two epochs."""

    epochs = 9

    def curve(self, config: Config) -> Curve:
        rate = float(config["rate"])
        values = rate + 1.0 / np.arange(1, self.epochs + 1)
        if rate > 0.95:
            values[2:] = np.nan
        return Curve(values, np.cumsum(np.full(self.epochs, 1.0 + rate)), float(values[-1]))


class Watching(StudySearch):
    """A searcher that records which trials reported, in order."""

    def __init__(self, sampler: str, seed: int) -> None:
        super().__init__(SPACE, OBJECTIVE, make_sampler(sampler, SPACE, seed, 100, Falling.epochs))
        self.told: list[tuple[str, int]] = []

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        if result["rows"]:
            self.told.append((trial_id, result["rows"][-1]["epoch"]))
        super().on_trial_result(trial_id, dict(result))


def run(
    sampler: str = "random",
    seed: int = 0,
    workers: int = 4,
    budget: int = 90,
    rungs: Sequence[int] = RUNGS,
    first: Sequence[Config] = (),
) -> Outcome:
    scheduler = make_asha("minimize", Falling.epochs, rungs, 4) if rungs else make_none("minimize", 9, (), 1)
    search = Watching(sampler, seed)
    return replay(search, scheduler, OBJECTIVE, Falling(), rungs, workers=workers, budget=budget, first=first)


def facts(outcome: Outcome) -> list[tuple[float, TrialState, int, float | None]]:
    return [(float(t.config["rate"]), t.state, t.epochs, t.ended) for t in outcome.trials]


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000), workers=st.integers(1, 8), budget=st.integers(9, 120))
def test_every_replay_follows_the_rules(seed: int, workers: int, budget: int) -> None:
    outcome = run("random", seed, workers, budget)
    assert sum(trial.epochs for trial in outcome.trials) == outcome.epochs
    assert budget <= outcome.epochs < budget + Falling.epochs, "it ends with the report that uses up the budget"
    running = [trial for trial in outcome.trials if trial.state is TrialState.RUNNING]
    assert len(running) <= workers
    for trial in outcome.trials:
        match trial.state:
            case TrialState.COMPLETED:
                assert trial.epochs == Falling.epochs
            case TrialState.PRUNED:
                assert trial.epochs in RUNGS
            case TrialState.FAILED:
                assert trial.config["rate"] > 0.95  # type: ignore[operator]
        if trial.ended is not None:
            assert trial.ended == pytest.approx(trial.started + trial.curve.ends[trial.epochs - 1])
    assert [step.epochs for step in outcome.progress] == sorted(step.epochs for step in outcome.progress)


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_the_same_seed_gives_the_same_replay(sampler: str) -> None:
    assert facts(run(sampler, 3)) == facts(run(sampler, 3))
    assert facts(run(sampler, 3)) != facts(run(sampler, 4))


def test_without_pruning_every_trial_runs_in_full() -> None:
    outcome = run(rungs=(), workers=2, budget=45)
    assert {trial.state for trial in outcome.trials} <= {TrialState.COMPLETED, TrialState.RUNNING, TrialState.FAILED}
    finished = [trial for trial in outcome.trials if trial.state is TrialState.COMPLETED]
    assert outcome.truth_at(1e9) == min(trial.curve.truth for trial in finished)


def test_nothing_is_reported_before_its_time() -> None:
    search, scheduler = Watching("tpe", 1), make_asha("minimize", Falling.epochs, RUNGS, 4)
    outcome = replay(search, scheduler, OBJECTIVE, Falling(), RUNGS, workers=4, budget=90)
    trials = {trial.trial_id: trial for trial in outcome.trials}
    moments = [trials[name].started + trials[name].curve.ends[epoch - 1] for name, epoch in search.told]
    assert len(moments) > 20
    assert moments == sorted(moments)


def test_slow_trials_report_later() -> None:
    outcome = run(workers=2, budget=18, rungs=(), first=[{"rate": 0.9}, {"rate": 0.1}])
    slow, quick = outcome.trials[:2]
    assert quick.ended == pytest.approx(9.9)
    assert slow.ended is None or slow.ended == pytest.approx(17.1)


def test_the_best_value_at_each_time() -> None:
    outcome = run(first=[{"rate": 0.5}, {"rate": 0.2}], workers=1, budget=18, rungs=())
    assert outcome.truth_at(8) is None
    assert outcome.truth_at(9) == pytest.approx(0.5 + 1 / 9)
    assert outcome.truth_at(18) == pytest.approx(0.2 + 1 / 9)
