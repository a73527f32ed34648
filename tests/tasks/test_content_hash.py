"""The hash of what a function loads: of its content alone, the same in every process."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tune_app.tasks.content_hash import content_hash

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=8,
)
ARRAYS = st.one_of(
    arrays(kind, array_shapes(min_dims=0, min_side=0)) for kind in (np.float32, np.int64, bool, "U3", "S2", complex)
)
EVERYTHING = {
    "rows": np.arange(6.0).reshape(2, 3),
    "labels": ["a", "b"],
    "texts": np.array(["café", None], object),
    "weights": torch.arange(4, dtype=torch.bfloat16),
    "half": (1, 0.5, b"\xff", True, None),
}


@given(PLAIN | ARRAYS)
def test_the_same_content_has_the_same_hash(content: Any) -> None:
    again = content.copy(order="F") if isinstance(content, np.ndarray) else content
    found = content_hash(content)
    assert found is not None
    assert len(found) == 64
    assert content_hash(again) == found
    assert content_hash([content]) != found


DIFFERENT: list[Any] = [
    *(None, True, 1, 1.0, "1", b"1", "", [], (), {}, [1], (1,), [[1]], ["1"], ["a", "bc"], ["ab", "c"], {"a": 1}),
    *(np.zeros(2), np.zeros(2, np.float32), np.zeros((1, 2)), np.array([1.0, 0.0]), np.array(0.0), np.array(["ab"])),
    *(np.array(["2026-01-01"], "datetime64[D]"), np.array(["2026-01-02"], "datetime64[D]")),
    *(torch.zeros(2), torch.zeros(2, dtype=torch.bfloat16), torch.zeros(1, 2), np.array(["a", "b"], object)),
]


def test_different_contents_have_different_hashes() -> None:
    assert len({content_hash(content) for content in DIFFERENT}) == len(DIFFERENT)


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)
WITHOUT: list[Any] = [
    *(object(), {1, 2}, [lambda: 1], ENDLESS, 10**5000, np.array([object()]), np.ma.masked_array([1, 2], [0, 1])),
    *(torch.nn.Linear(1, 1), torch.float32, torch.zeros(2).to_sparse(), torch.zeros(2, device="meta")),
]


@pytest.mark.parametrize("content", WITHOUT, ids=lambda content: type(content).__name__)
def test_an_object_of_a_class_has_none(content: Any) -> None:
    assert content_hash(content) is None


def test_another_process_finds_the_same_hash() -> None:
    code = "from test_content_hash import EVERYTHING; from tune_app.tasks.content_hash import content_hash\n"
    code += "print(content_hash(EVERYTHING))"
    folder = __file__.rpartition("/")[0]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, timeout=60)
    assert done.stdout.strip() == content_hash(EVERYTHING), done.stderr
