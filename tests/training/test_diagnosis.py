"""The words for health figures: a lower value is never judged more kindly, and an unknown one not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_app.tasks import load_task
from tune_app.training.diagnosis import ABSENT, CAUSES, CHANGES, OVERFITTED, STILL_FALLING, findings, grade_of
from tune_app.training.health import MEANINGS, SCORES, WEIGHTS

TASKS = ("image_cnn", "text_lstm", "small_gpt")
GRADES = ("poor", "fair", "good")
VARIABLES = {name for changes in CHANGES.values() for name, _ in changes} | {"epochs", "dropout"}
SHARES = st.floats(0.0, 1.0)


def test_every_score_has_a_meaning_and_advice() -> None:
    assert set(MEANINGS) == set(SCORES)
    assert set(ABSENT) == set(CAUSES) == set(CHANGES) == set(WEIGHTS)


def test_advice_names_only_variables_of_a_task_and_every_task_gets_advice() -> None:
    names = {task: {variable.name for variable in load_task(task).variables} for task in TASKS}
    advised = {name for changes in (*CHANGES.values(), STILL_FALLING, OVERFITTED) for name, _ in changes}
    assert advised <= set.union(*names.values())
    for known in names.values():
        assert all(finding.changes for finding in findings(dict.fromkeys(WEIGHTS, 0.1), known))
        assert all(name in known for one in findings(dict.fromkeys(WEIGHTS, 0.1), known) for name, _ in one.changes)


@given(SHARES, SHARES)
def test_a_lower_value_never_gets_a_better_grade(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert GRADES.index(grade_of(low)) <= GRADES.index(grade_of(high))


@given(st.sampled_from(sorted(WEIGHTS)), SHARES, SHARES)
def test_a_lower_value_is_never_listed_later(name: str, one: float, other: float) -> None:
    low, high = sorted((one, other))

    def place(value: float) -> int:
        found = findings({**dict.fromkeys(WEIGHTS, 0.6), name: value}, VARIABLES)
        return [finding.score for finding in found].index(name)

    assert place(low) <= place(high)


def test_an_absent_figure_gets_no_cause_and_no_advice() -> None:
    found = findings({**dict.fromkeys(WEIGHTS, None), "gradient_health": 0.9}, VARIABLES)
    assert found[0].score == "gradient_health"
    assert (found[0].grade, found[0].cause, found[0].changes) == ("good", "", ())
    for one in found[1:]:
        assert (one.grade, one.changes) == ("unknown", ())
        assert one.cause == ABSENT[one.score]
    assert "Too little history" in ABSENT["training_stability"]


@pytest.mark.parametrize(
    ("validation", "training", "words"),
    [
        ([4.0, 3.0, 2.0, 1.0], [4.0, 3.0, 2.0, 1.0], "still falling"),
        ([1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0], "never fell"),
        ([3.0, 1.0, 2.0, 2.5], [4.0, 3.0, 2.0, 1.0], "since epoch 2 while the training loss kept falling"),
        ([3.0, 1.0, 2.0, 2.5], [2.0, 1.0, 2.0, 3.0], "lowest in epoch 2"),
        ([], [], "never settled, or it rose again"),
    ],
)
def test_the_cause_of_poor_convergence(validation: list[float], training: list[float], words: str) -> None:
    history: list[dict[str, float | None]] = [
        {"val_loss": loss, "train_loss": other} for loss, other in zip(validation, training, strict=True)
    ]
    found = findings({"convergence_quality": 0.3}, VARIABLES, history)
    assert words in found[0].cause
    assert found[0].changes
