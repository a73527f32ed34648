"""The queue that gives Tune its trials, in which order and how many ahead; without Ray, with a real sampler."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tune_app.ray_backend.controller import TrialQueue, without_room
from tune_app.search.samplers import make_sampler
from tune_app.search.study_search import StudySearch
from tune_app.spaces.section import Objective
from tune_app.spaces.space import Space
from tune_app.spaces.variable import Float, Variable
from tune_app.sweep.requests import Request

SPACE = Space((Variable("rate", "training", Float(0.0, 1.0), 0.5, "A rate."),), {"rate": Float(0.0, 1.0)}, {}, {}, ())
LOST = Request(3, 33, attempt=2, config={"rate": 0.125}, source="random")
GIVEN = Request(4, 44, config={"rate": 0.25}, source="start")
END = {"rows": [{"epoch": 1, "metric/score": 0.5}], "finished": True, "epoch": 1}


class Queue:
    """A queue for a number of slots, and the trials that it gives out."""

    def __init__(self, *requests: Request, slots: int = 1) -> None:
        self.slots = SimpleNamespace(count=slots)
        search = StudySearch(
            SPACE, Objective(metric="score", direction="maximize"), make_sampler("random", SPACE, 0, 9, 1)
        )
        made: Any = dict  # instead of Tune's trials
        slots_now: Any = self.slots
        self.queue = TrialQueue(search, requests, slots_now, made, lambda config: 7, "t{}".format)

    def give(self) -> dict[str, Any] | None:
        given: Any = self.queue.next_trial()
        return given

    def give_all(self) -> list[int]:
        found = []
        while (trial := self.give()) is not None:
            found.append(trial["trial"])
        return found


def test_trials_come_in_the_order_of_their_requests_each_as_requested() -> None:
    queue = Queue(LOST, GIVEN, Request(5, 55), slots=9)
    lost, given, sampled = queue.give(), queue.give(), queue.give()
    assert lost == {"trial": 3, "config": {"rate": 0.125}, "epochs": 7, "seed": 33, "attempt": 2, "source": "random"}
    assert given == {"trial": 4, "config": {"rate": 0.25}, "epochs": 7, "seed": 44, "attempt": 1, "source": "start"}
    assert sampled is not None
    assert (sampled["trial"], sampled["seed"], sampled["source"]) == (5, 55, "random")
    assert 0.0 <= sampled["config"]["rate"] <= 1.0
    assert queue.give() is None
    assert queue.queue.is_finished()


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_one_more_trial_than_there_are_slots_is_given_out_ahead(slots: int) -> None:
    queue = Queue(*[Request(number, number) for number in range(9)], slots=slots)
    assert queue.give_all() == list(range(slots + 1))
    assert queue.queue.left == 9
    queue.queue.on_trial_complete("t0", END)
    assert queue.queue.left == 8
    assert queue.give_all() == [slots + 1]


def test_slots_that_come_and_go_are_followed() -> None:
    queue = Queue(*[Request(number, number) for number in range(9)], slots=1)
    assert queue.give_all() == [0, 1]
    queue.slots.count = 3
    assert queue.give_all() == [2, 3]
    queue.slots.count = 0  # all nodes are gone; open trials are reported as they end
    for number in (0, 1, 2):
        queue.queue.on_trial_complete(f"t{number}", END)
        assert queue.give_all() == []
    queue.queue.on_trial_complete("t3", END)
    assert queue.give_all() == [4]


def test_a_sweep_that_must_end_gives_out_no_more_trials_and_waits_for_running_ones() -> None:
    queue = Queue(*[Request(number, number) for number in range(9)], slots=2)
    assert queue.give_all() == [0, 1, 2]
    queue.queue.set_finished()
    assert (queue.queue.is_finished(), queue.queue.left, queue.give()) == (True, 3, None)
    queue.queue.on_trial_complete("t1", error=True)
    assert (queue.queue.left, queue.give()) == (2, None)


@pytest.mark.parametrize(
    ("slots", "found"),
    [(6, ""), (5, "f"), (4, "ef"), (3, "cef"), (1, "cef")],
)
def test_if_slots_are_lost_the_workers_requested_last_have_no_room(slots: int, found: str) -> None:
    assert "".join(without_room("abcdef", "abd", slots)) == found
