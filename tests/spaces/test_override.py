"""The options that override a search space file, and their descriptions."""

from __future__ import annotations

import pytest

from tune_app.spaces.override import OVERRIDES, describe
from tune_app.spaces.spec import SECTIONS


@pytest.mark.parametrize("key", [key for key in OVERRIDES.values() if key != "name"])
def test_a_description_is_that_of_the_field(key: str) -> None:
    section, _, field = key.partition(".")
    assert describe(key) == SECTIONS[section].model_fields[field].description
