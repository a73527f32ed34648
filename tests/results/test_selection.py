"""Selecting trials, the columns in which they differ, and a few side by side."""

from __future__ import annotations

import pandas as pd
import pytest

from tune_app.errors import InputError
from tune_app.results.selection import Selection, side_by_side, varying

TRIALS = pd.DataFrame(
    {
        "trial": [0, 1, 2, 3],
        "trial_id": ["a-0", "a-1", "a-2", "a-3"],
        "state": ["COMPLETED", "PRUNED", "FAILED", "COMPLETED"],
        "objective": [0.9, 0.5, None, 0.7],
        "error": [None, None, "CUDA out of memory [x]", None],
        "config/architecture/filters": pd.array([8, 16, 16, None], dtype="Int64"),
        "config/training/optimizer": ["sgd", "adamw", "sgd", "sgd"],
        "node": "here",
    }
)


@pytest.mark.parametrize(
    ("selection", "numbers"),
    [
        (Selection(), [0, 1, 2, 3]),
        (Selection(states=["COMPLETED", "FAILED"]), [0, 2, 3]),
        (Selection(choices={"config/training/optimizer": ["sgd"]}), [0, 2, 3]),
        (Selection(choices={"config/training/optimizer": []}), [0, 1, 2, 3]),
        (Selection(choices={"config/architecture/filters": ["16"]}), [1, 2]),
        (Selection(ranges={"objective": (0.5, 0.7)}), [1, 3]),
        (Selection(ranges={"objective": (None, 0.7)}), [1, 3]),
        (Selection(ranges={"objective": (None, None)}), [0, 1, 2, 3]),
        (Selection(ranges={"config/architecture/filters": (9, None)}), [1, 2]),
        (Selection(text="OUT OF memory [x"), [2]),
        (Selection(text="a-3"), [3]),
        (Selection(states=["COMPLETED"], ranges={"objective": (0.8, None)}), [0]),
    ],
)
def test_a_selection_keeps_trials_that_meet_every_condition(selection: Selection, numbers: list[int]) -> None:
    assert list(selection.of(TRIALS)["trial"]) == numbers
    assert selection.of(TRIALS.head(0)).empty


ASKED = Selection(("COMPLETED",), {"config/training/optimizer": ["sgd"]}, {"objective": (0.8, None)}, "a-3")


def test_a_selection_round_trips_through_an_address() -> None:
    assert Selection.from_text(ASKED.to_text(), TRIALS) == ASKED
    assert Selection().to_text() == ""
    assert not Selection.from_text('{"ranges":{"node":[0,1]}}', TRIALS).ranges, "strings have no range"
    known = Selection.from_text(ASKED.to_text(), TRIALS[["objective"]])
    assert not known.choices, "the study has no such column"
    assert known.ranges == {"objective": (0.8, None)}


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"ranges":{"objective":[1]}}', '{"ranges":{"objective":["x",1]}}'])
def test_an_invalid_selection_is_rejected(text: str) -> None:
    with pytest.raises(InputError, match="a filter must be"):
        Selection.from_text(text, TRIALS)


def test_it_says_which_condition_excludes_everything() -> None:
    assert ASKED.conditions() == ["state", "config/training/optimizer", "objective", "text"]
    assert ASKED.of(TRIALS).empty
    assert ASKED.emptied_by(TRIALS) == {"objective": 1, "text": 1}
    assert list(ASKED.without("objective").of(TRIALS)["trial"]) == [3]


def test_columns_that_vary() -> None:
    assert "node" not in varying(TRIALS)
    assert {"objective", "error", "config/architecture/filters"} <= set(varying(TRIALS))
    assert varying(TRIALS.head(1)) == []


def test_side_by_side_marks_what_differs() -> None:
    table, differs = side_by_side(TRIALS, [2, 0, 99])
    assert list(table.columns) == [2, 0]
    marks = dict(zip(table.index, differs, strict=True))
    assert marks["state"]
    assert marks["objective"], "only one of them has a value"
    assert not marks["config/training/optimizer"]
    assert table.loc["objective", 2] is None
    assert table.loc["objective", 0] == 0.9
