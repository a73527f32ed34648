"""Variables that the search space itself declares: choices of any type, and dotted names."""

from __future__ import annotations

from typing import Any

import pytest

from tune_app.document import Document
from tune_app.errors import InputError
from tune_app.profiles.profile import Profile
from tune_app.profiles.profile_document import read_document
from tune_app.spaces.catalog import Catalog, arranged, parse_value
from tune_app.spaces.spec import Spec, read_spec

LAYERS = {"type": "categorical", "choices": {"small": [64], "wide": [64, 32]}}


def spec_of(named: dict[str, Any], **sections: Any) -> Spec:
    """A space for a function with these variables."""
    document = {
        "schema_version": 1,
        "name": "own",
        "task": "train:tune",
        "metrics": {"loss": "minimize"},
        "parameters": {"training": {"lr": {"type": "float", "low": 0.0, "high": 1.0}, **named}},
        **sections,
    }
    return read_spec(Document.of(document, "space"), lambda found: Catalog("train:tune", (), open=True))


def given(spec: Spec, **values: Any) -> dict[str, Any]:
    """What the function receives."""
    return arranged({**spec.space.complete({}), **values}, spec.catalog)


@pytest.mark.parametrize(
    ("content", "names", "values"),
    [
        (LAYERS, ("small", "wide"), ([64], [64, 32])),
        ({"type": "categorical", "choices": [[64], [64, 32]]}, ("[64]", "[64, 32]"), ([64], [64, 32])),
        ({"type": "categorical", "choices": [None, 0.1, "x"]}, ("null", 0.1, "x"), (None, 0.1, "x")),
        ({"type": "categorical", "choices": {"no": None, "yes": {"p": 0.1}}}, ("no", "yes"), (None, {"p": 0.1})),
        ({"type": "categorical", "choices": ["a", "b"]}, ("a", "b"), ("a", "b")),
    ],
)
def test_a_choice_is_stored_by_name_and_passed_as_its_value(
    content: Any, names: tuple[Any, ...], values: tuple[Any, ...]
) -> None:
    spec = spec_of({"layers": content})
    assert spec.space.searched["layers"].to_dict()["choices"] == list(names)
    assert spec.space.complete({})["layers"] == names[0]
    assert [given(spec, layers=name)["layers"] for name in names] == list(values)


@pytest.mark.parametrize(
    "content", [LAYERS, {**LAYERS, "choices": [[64], None]}, [64, 32], {**LAYERS, "default": "wide"}]
)
def test_such_a_space_and_its_catalog_round_trip(content: Any) -> None:
    spec = spec_of({"layers": content, "model.width": 8})
    again = read_spec(Document.parse(spec.to_yaml(), "written"), lambda found: Catalog("train:tune", (), open=True))
    assert again == spec
    assert again.sha256() == spec.sha256()
    assert Catalog.from_dict(spec.catalog.to_dict()) == spec.catalog


def test_a_default_may_be_a_name_or_a_value() -> None:
    for default in ("[64, 32]", [64, 32]):
        content = {"type": "categorical", "choices": [[64], [64, 32]], "default": default}
        assert given(spec_of({"layers": content}))["layers"] == [64, 32]


def test_a_choice_is_set_by_its_name_or_its_value() -> None:
    (variable,) = [v for v in spec_of({"layers": LAYERS}).space.variables if v.name == "layers"]
    assert [parse_value(variable, text) for text in ("wide", "[64,32]", "[ 64 ]")] == ["wide", "wide", "small"]
    with pytest.raises(InputError, match="must be one of small, wide"):
        parse_value(variable, "[1]")


def test_a_function_cannot_change_the_values_of_another_trial() -> None:
    spec = spec_of({"layers": LAYERS})
    given(spec)["layers"].append(1)
    assert given(spec)["layers"] == [64]


def test_dotted_names_are_nested_and_constraints_can_read_them() -> None:
    named = {"model.width": {"type": "int", "low": 1, "high": 64}, "model.depth": 2}
    spec = spec_of(named, constraints=["model.width * model.depth <= 64"])
    assert given(spec, **{"model.width": 8}) == {"lr": 0.5, "model": {"width": 8, "depth": 2}}
    assert spec.space.constraints[0].names == {"model.width", "model.depth"}
    flat = spec_of(named, flat=True)
    assert given(flat, **{"model.width": 8}) == {"lr": 0.5, "model.width": 8, "model.depth": 2}
    assert spec.sha256() != flat.sha256()


def test_dotted_names_can_be_set_and_are_kept_in_profiles() -> None:
    spec = spec_of({"model.width": {"type": "int", "low": 1, "high": 64}})
    document = spec.to_dict()
    changed = read_spec(
        Document.of(document, "space"),
        lambda found: Catalog("train:tune", (), open=True),
        {"parameters": {"training.model.width": "16"}},
    )
    assert changed.space.fixed == {"model.width": 16}
    profile = Profile("mine", spec.catalog, "none", spec.space.complete({"model.width": 3}), (), {})
    written = Document.of(profile.to_dict(), "mine.yaml")
    assert read_document(written, lambda task: Catalog(task, (), open=True)).config == profile.config


@pytest.mark.parametrize(
    ("named", "sections", "rule"),
    [
        ({"model": 1, "model.width": 8}, {}, "`model` is both"),
        ({"model..width": 8}, {}, "a word of letters, digits"),
        ({"layers": []}, {}, "must have a value or a mapping"),
        ({"layers": {"type": "categorical", "choices": [[1], "[1]"]}}, {}, "must be distinct"),
        ({"layers": {**LAYERS, "default": "huge"}}, {}, "the default of `layers` must be one of small, wide"),
        ({}, {"flat": 1}, "`flat` must be true or false"),
        ({"k": float("inf")}, {}, "must be a finite number"),
        ({"k": {"type": "categorical", "choices": [1, "1"]}}, {}, "1 is also there as a string"),
    ],
)
def test_invalid_variables_are_rejected(named: dict[str, Any], sections: dict[str, Any], rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        spec_of(named, **sections)
