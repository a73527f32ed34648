"""A user's own text file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tune_app.datasets import load_dataset
from tune_app.errors import InputError


def load(folder: Path, content: bytes) -> Any:
    (folder / "a.txt").write_bytes(content)
    return load_dataset({"kind": "text_file", "path": str(folder / "a.txt")})


def test_the_last_tenth_is_the_test_set(tmp_path: Path) -> None:
    text = ("Où est-il ?\r\n" * 9)[:-1] + "😀" * 12
    data = load(tmp_path, text.encode("utf-8-sig"))
    assert (data.kind, data.train["text"].dtype) == ("text", np.dtype(np.uint32))
    both = np.concatenate([data.train["text"], data.test["text"]])
    assert "".join(map(chr, both)) == text
    assert len(data.test["text"]) == round(len(text) / 10)
    assert data.train["text"].flags.writeable


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"", "", "must have at least 100 characters, but has 0"),
        (b"x" * 99, "", "but has 99"),
        (b"one\ntwo\xff\n" * 20, ":2", "must be UTF-8 text, but has the byte 0xff"),
    ],
)
def test_errors(content: bytes, line: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load(tmp_path, content)
    assert caught.value.where == f"{tmp_path / 'a.txt'}{line}"


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be readable, but Is a directory"):
        load_dataset({"kind": "text_file", "path": str(tmp_path)})
