"""Drafts: what is entered, what is wrong with it, what has no effect, and the resulting profile."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tune_app.errors import InputError
from tune_app.profiles.draft import Draft
from tune_app.profiles.profile import Profile
from tune_app.spaces.spec import Spec
from tune_app.tasks import load_task
from tune_app.tasks.catalogs import load_catalog

BOUND = ("filters * conv_layers <= 128",)
VARIABLES = load_task("image_cnn").variables
CONFIG = {v.name: v.default for v in VARIABLES}


def draft(**config: object) -> Draft:
    found = Profile(
        "found",
        load_catalog("image_cnn"),
        "digits",
        {**CONFIG, **config},
        constraints=("filters * conv_layers <= 128",),
    )  # type: ignore[dict-item]
    return Draft.of(found)


def test_a_fresh_draft_changes_nothing() -> None:
    fresh = draft()
    assert fresh.changed == []
    assert fresh.problems == []
    assert fresh.profile("kept").config == CONFIG
    assert fresh.profile("kept").name == "kept"


def test_an_entry_is_read_as_the_variables_type() -> None:
    edited = draft().with_entry("learning_rate", " 1e-4 ").with_entry("batch_norm", False).with_entry("filters", 8)
    assert [field.variable.name for field in edited.changed] == ["filters", "batch_norm", "learning_rate"]
    saved = edited.profile("kept")
    assert (saved.config["learning_rate"], saved.config["batch_norm"], saved.config["filters"]) == (1e-4, False, 8)
    assert saved.provenance["edited"]["training.learning_rate"] == {
        "found": CONFIG["learning_rate"],
        "saved": 1e-4,
    }


def test_the_same_value_written_differently_is_not_a_change() -> None:
    assert draft(learning_rate=0.01).with_entry("learning_rate", "1e-2").changed == []


@pytest.mark.parametrize("entered", ["abc", "", "nan", "1e9"])
def test_an_invalid_value_is_named_and_cannot_be_saved(entered: str) -> None:
    edited = draft().with_entry("learning_rate", entered)
    field = edited.fields["learning_rate"]
    assert "`learning_rate` must be a number from" in field.problems[0]
    assert field.changed
    assert field.value == CONFIG["learning_rate"]
    with pytest.raises(InputError, match="learning_rate"):
        edited.profile("kept")


def test_a_broken_constraint_is_named_at_every_variable_that_it_reads() -> None:
    edited = draft(conv_layers=2).with_entry("filters", 256)
    broken = "the constraint `filters * conv_layers <= 128` must hold, but got conv_layers = 2, filters = 256."
    assert edited.problems == [broken]
    assert [name for name, field in edited.fields.items() if field.problems] == ["conv_layers", "filters"]
    assert [field.variable.name for field in edited.changed] == ["filters"]
    with pytest.raises(InputError, match="must hold"):
        edited.profile("kept")


def test_conditions_of_the_task_and_of_the_study(make_spec: Callable[..., Spec]) -> None:
    assert draft(dense_layers=1).fields["dense_width"].applies
    assert not draft(dense_layers=1).with_entry("dense_layers", 0).fields["dense_width"].applies
    rate = {"type": "float", "low": 0.0, "high": 0.5, "when": "filters == 4"}
    space = make_spec(
        parameters={"architecture": {"filters": {"type": "categorical", "choices": [2, 4]}, "dropout": rate}}
    ).space
    found = Draft.of(draft(filters=4).found, space)
    assert found.fields["dropout"].applies
    assert found.fields["dropout"].searched == space.searched["dropout"]
    assert not found.with_entry("filters", 2).fields["dropout"].applies
    assert found.fields["learning_rate"].searched is None


def test_resets() -> None:
    edited = draft().with_entry("filters", 8).with_entry("conv_layers", 1)
    assert [field.variable.name for field in edited.without_entry("filters").changed] == ["conv_layers"]
    assert edited.reset().changed == []
