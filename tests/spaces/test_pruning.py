"""Rungs: the same as the scheduler's, and none if pruning is off."""

from __future__ import annotations

import pytest
from ray.tune.schedulers import AsyncHyperBandScheduler

from tune_app.search.schedule import NoPruning, make_scheduler
from tune_app.spaces.pruning import LEVELS, rungs
from tune_app.spaces.section import Pruning

MANY = [*range(1, 131), 200, 243, 256, 729, 1000, 1024, 2187, 4096, 10_000]


@pytest.mark.parametrize("level", LEVELS)
def test_rungs_match_tunes(level: str) -> None:
    section = Pruning.model_validate({"level": level, "scheduler": "hyperband"})
    for epochs in MANY:
        found, factor = rungs(section, epochs)
        scheduler = make_scheduler(section, "minimize", epochs)
        assert isinstance(scheduler, AsyncHyperBandScheduler)
        # Nothing is decided after the last epoch: Tune ends the trial before it checks that rung.
        decisive = sorted(milestone for milestone, _ in scheduler._brackets[0]._rungs if milestone < epochs)
        assert [rung for rung in found if rung < epochs] == decisive, epochs
        assert scheduler._brackets[0].rf == factor
        assert scheduler._max_t == epochs


@pytest.mark.parametrize(
    ("level", "epochs", "expected"),
    [
        ("gentle", 15, ((1, 3, 9), 3)),
        ("gentle", 100, ((10, 30, 90), 3)),
        ("normal", 15, ((1, 4), 4)),
        ("normal", 200, ((1, 4, 16, 64), 4)),
        ("aggressive", 15, ((1, 6), 6)),
        ("aggressive", 1, ((1,), 6)),
    ],
)
def test_known_rungs(level: str, epochs: int, expected: tuple[tuple[int, ...], int]) -> None:
    assert rungs(Pruning.model_validate({"level": level}), epochs) == expected


@pytest.mark.parametrize("off", [{"level": "off"}, {"scheduler": "none"}])
def test_off(off: dict[str, str]) -> None:
    section = Pruning.model_validate(off)
    assert rungs(section, 100) == ((), 1)
    assert isinstance(make_scheduler(section, "minimize", 100), NoPruning)
