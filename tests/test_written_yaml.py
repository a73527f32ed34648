"""For files that this program writes, the fast YAML reader agrees with the strict one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from tune_app.document import to_yaml
from tune_app.written_yaml import read_yaml

TELLING = [
    *("off", "yes", "1e-5", "1.0e-05", "010", "0o7", "1:30", "~", "null", "True", "2026-01-01"),
    *("=", "<<", "-", "ü", "", ":0", "?0", "0:?"),
]
PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.sampled_from(TELLING),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])),
)
ROOT = Path(__file__).resolve().parents[1]


@given(
    st.dictionaries(st.sampled_from(["a", *TELLING]), PLAIN | st.lists(PLAIN) | st.dictionaries(st.just("b"), PLAIN))
)
def test_written_yaml_is_read_back(document: dict[str, Any]) -> None:
    text = to_yaml(document, compact=True)
    assert read_yaml(text) == YAML(typ="safe", pure=True).load(text) == document


@pytest.mark.parametrize("path", sorted(ROOT.glob("search_spaces/*.yaml")), ids=lambda path: path.stem)
def test_both_readers_agree_on_the_search_spaces(path: Path) -> None:
    assert read_yaml(path.read_bytes()) == YAML(typ="safe", pure=True).load(path)


@pytest.mark.parametrize("damaged", ["{a: ", "a: b: c", b"\xff\xfe\x00", "!!python/object:os.system {}"])
def test_invalid_yaml_is_rejected(damaged: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_yaml(damaged)
