"""A data set: real data as arrays, in a training and a test part, with a content hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Dataset:
    """One data set in memory.

    Ours have one of three kinds:

    - ``image``: ``images`` uint8 (N, channels, height, width) and ``labels`` int64 (N,); `info` has ``classes``,
      ``max_value`` (the brightest value) and, if classes have names, ``class_names``.
    - ``labeled_text``: ``texts`` object (N,) of str and ``labels`` int64 (N,); `info` has ``classes`` and
      ``class_names``.
    - ``text``: ``text`` uint32 (N,), one Unicode code point per row, the test part following on the training part.

    The training part of the first two may have ``groups`` int64 (N,): rows with the same number come from one source,
    such as photographs of one sign, and are never split between training and validation.

    Attributes:
        name: its name in search spaces.
        kind: what a row is; a task states the kind it uses, and a user's task may define its own.
        train: arrays by name, equal in length along the first axis; validation rows are split off here.
        test: the same for the test part; empty in a sweep, which must not see it.
        info: facts about the whole set, such as ``classes``; `notes` are shown to the user before a sweep.
    """

    name: str
    kind: str
    train: Arrays
    test: Arrays
    info: Mapping[str, Any] = field(default_factory=dict)

    def without_test(self) -> Dataset:
        """The same data set for a sweep, without the test part, so that it cannot be used by mistake."""
        return replace(self, test={})

    def read_only(self) -> Dataset:
        """The same data set with read-only arrays, because trials share them."""
        return replace(self, train=_read_only(self.train), test=_read_only(self.test))

    def head(self, rows: int) -> Dataset:
        """The first `rows` rows of the training part, for a quick try.

        Not cut if arrays have different lengths, such as a vocabulary next to the rows, because rows are then unknown.
        """
        if len({len(array) for array in self.train.values()}) > 1:
            return self.without_test()
        return replace(self, train={name: array[:rows] for name, array in self.train.items()}, test={})

    @property
    def rows(self) -> int:
        """How many rows the training part has."""
        return min((len(array) for array in self.train.values()), default=0)

    def sha256(self) -> str:
        """Content hash over both parts: names, types, shapes and bytes of every array; computed once."""
        return self._sha256

    @cached_property
    def _sha256(self) -> str:
        digest = hashlib.sha256()
        for part in (self.train, self.test):
            for name in sorted(part):
                array = np.ascontiguousarray(part[name])
                digest.update(f"{name} {array.dtype.str} {array.shape}".encode("utf-8", "surrogatepass"))
                for chunk in _text_bytes(array) if array.dtype == object else (array.data,):
                    digest.update(chunk)
        return digest.hexdigest()


def _read_only(arrays: Arrays) -> Arrays:
    views = {name: array.view() for name, array in arrays.items()}
    for view in views.values():
        view.flags.writeable = False
    return views


def _text_bytes(texts: np.ndarray) -> tuple[bytes, bytes]:
    # An object array holds pointers. The lengths keep ["ab", "c"] and ["a", "bc"] apart.
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts.ravel()]
    return np.array([len(text) for text in encoded], dtype="<i8").tobytes(), b"".join(encoded)
