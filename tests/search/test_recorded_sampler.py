"""Proposals limited to recorded configurations."""

from __future__ import annotations

from optuna.study import Study as OptunaStudy
from optuna.trial import FrozenTrial

from tune_app.search.planned_sampler import PlannedSampler
from tune_app.search.recorded_sampler import RecordedSampler
from tune_app.search.study_search import StudySearch
from tune_app.spaces.section import Objective
from tune_app.spaces.space import Space
from tune_app.spaces.variable import Config, Float, Variable

SPACE = Space((Variable("rate", "training", Float(0.0, 1.0), 0.5, "Rate."),), {"rate": Float(0.0, 1.0)}, {}, {}, ())
ROW = {"epoch": 1, "metric/loss": 0.5}


class Third(PlannedSampler):
    """Always proposes a third, and records every call."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def plan(self, study: OptunaStudy, trial: FrozenTrial) -> Config:
        return {"rate": 1 / 3}

    def begin(self, number: int, config: Config) -> None:
        self.heard.append(("begin", number, config["rate"]))

    def report(self, number: int, gains: object) -> None:
        self.heard.append(("report", number, gains))

    def fail(self, number: int) -> None:
        self.heard.append(("fail", number))

    def forget(self, number: int) -> None:
        self.heard.append(("forget", number))


def test_a_proposal_becomes_the_nearest_recorded_one_and_the_sampler_learns_that() -> None:
    inner, recorded = Third(), [0.1, 0.4, 0.9]
    sampler = RecordedSampler(inner, lambda c: {"rate": min(recorded, key=lambda r: abs(r - float(c["rate"])))})
    search = StudySearch(SPACE, Objective(metric="loss", direction="minimize"), sampler)
    assert search.suggest("a") == {"rate": 0.4}
    search.on_trial_result("a", {"rows": [ROW]})
    search.on_trial_complete("a", {"rows": [], "finished": False, "failure_kind": "oom"})
    recorded.remove(0.4)
    assert search.suggest("b") == {"rate": 0.1}
    search.on_trial_complete("b", error=True)
    told = [event for event in inner.heard if event[0] != "report"]  # type: ignore[index]
    assert told == [("begin", 0, 0.4), ("fail", 0), ("begin", 1, 0.1), ("forget", 1)]
    assert ("report", 0, {1: -0.5}) in inner.heard
