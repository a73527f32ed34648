"""Successive halving: which trials continue after a rung, and how a rerun counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest
from ray.tune.experiment import Trial

from tune_app.search.halving import LEAST, RECENT, Halving


@dataclass
class Named:
    """The only attribute that the scheduler reads from a trial."""

    trial_id: str


class Sweep:
    """Trials that report to a scheduler."""

    def __init__(self, direction: str = "minimize", rungs: tuple[int, ...] = (1, 4)) -> None:
        self.scheduler = Halving(rungs, 4, direction)

    def stops(self, trial: str, epoch: int, objective: float | None) -> bool:
        result: dict[str, Any] = {"epoch": epoch, "objective": objective}
        return self.scheduler.on_trial_result(cast(Any, None), cast(Trial, Named(trial)), result) == "STOP"


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_best_quarter_continues(direction: str) -> None:
    sweep, sign = Sweep(direction), 1.0 if direction == "minimize" else -1.0
    for number in range(40):
        sweep.stops(f"{number}", 1, sign * (number % 20))
    assert not sweep.stops("good", 1, sign * 3.5)
    assert sweep.stops("bad", 1, sign * 6.5)


def test_a_rung_decides_nothing_before_it_has_enough_arrivals() -> None:
    sweep = Sweep()
    assert [sweep.stops(f"{number}", 1, float(number)) for number in range(LEAST - 1)] == [False] * (LEAST - 1)
    assert sweep.stops("last", 1, 9.0)


def test_an_early_arrival_is_judged_at_its_next_report() -> None:
    sweep = Sweep()
    assert not sweep.stops("early", 1, 50.0)
    for number in range(8):
        sweep.stops(f"{number}", 1, float(number))
    assert sweep.stops("early", 2, 1.0)  # not a rung, but by now it is known to have been the worst of all


def test_recent_arrivals_count() -> None:
    sweep = Sweep()
    for number in range(RECENT):
        sweep.stops(f"bad {number}", 1, 100.0 + number)
    for number in range(RECENT):
        sweep.stops(f"good {number}", 1, float(number))
    assert sweep.stops("better than all at the begin", 1, 50.0)


def test_equal_trials_do_not_all_continue() -> None:
    sweep = Sweep()
    stopped = [sweep.stops(f"{number}", 1, 0.5) for number in range(20)]
    assert all(stopped[LEAST:])


@pytest.mark.parametrize("objective", [None, float("nan")])
def test_a_report_without_an_objective_stops_nothing(objective: float | None) -> None:
    sweep = Sweep()
    for number in range(20):
        sweep.stops(f"{number}", 1, float(number))
    assert not sweep.stops("unknown", 1, objective)


def test_a_trial_that_is_run_again_does_not_compete_with_itself() -> None:
    sweep = Sweep()
    for number in range(20):
        sweep.stops(f"{number}", 1, float(number))
    assert [sweep.stops("lost", 1, -1.0) for _ in range(8)] == [False] * 8
