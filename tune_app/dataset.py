"""Data sets: real data as arrays, with a fixed split and a content hash."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tune_app.errors import InputError, nearest

Arrays = Mapping[str, np.ndarray]
DatasetReference = str | Mapping[str, Any]
"""A data set by name, or the user's own: ``{kind: image_folder, path: …}``."""

DIGITS_TEST_SIZE = 297
DIGITS_SPLIT_SEED = 0


@dataclass(frozen=True)
class Dataset:
    """One data set in memory.

    Attributes:
        name: what search spaces call it.
        kind: what a row is: ``image``, ``text``, ``table``, …; a task states the kind it takes.
        train: arrays by name, equal in length along the first axis; the validation part is taken from here.
        test: the same for the test part; empty in a sweep, which must not see it.
        info: facts about the whole set, such as ``classes``.
    """

    name: str
    kind: str
    train: Arrays
    test: Arrays
    info: Mapping[str, Any] = field(default_factory=dict)

    def without_test(self) -> Dataset:
        """The same data set as a sweep gets it: nothing can be measured on the test part by mistake."""
        return replace(self, test={})

    def head(self, rows: int) -> Dataset:
        """The first `rows` rows of the training part, for a quick try."""
        return replace(self, train={name: array[:rows] for name, array in self.train.items()}, test={})

    @property
    def rows(self) -> int:
        """How many rows the training part has."""
        return min((len(array) for array in self.train.values()), default=0)

    def sha256(self) -> str:
        """Content hash over both parts: names, types, shapes and bytes of every array."""
        digest = hashlib.sha256()
        for part in (self.train, self.test):
            for name in sorted(part):
                array = np.ascontiguousarray(part[name])
                digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
                digest.update(array.data)
        return digest.hexdigest()


def load_dataset(name: str) -> Dataset:
    """Load the data set `name`.

    Raises:
        InputError: there is no data set of that name.
    """
    if name not in DATASETS:
        raise InputError(f"`dataset` must name a data set, but got `{name}`", hint=nearest(name, DATASETS))
    return DATASETS[name]()


def load_digits() -> Dataset:
    """Load scikit-learn's digits: 1,797 images of 8x8 pixels, 0..16, ten classes; no download.

    The file is read from scikit-learn's folder without importing scikit-learn, which would cost a second.
    The order of the file groups writers, so the split is a permutation with a fixed seed: 1,500 images to train
    and validate, 297 to test.
    """
    spec = importlib.util.find_spec("sklearn")
    assert spec is not None, "scikit-learn is a requirement"
    assert spec.submodule_search_locations
    path = Path(spec.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    with gzip.open(path, "rt") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    order = np.random.default_rng(DIGITS_SPLIT_SEED).permutation(len(table))
    images, labels = table[order, :-1].reshape(-1, 1, 8, 8), table[order, -1].astype(np.int64)
    train, test = slice(None, -DIGITS_TEST_SIZE), slice(-DIGITS_TEST_SIZE, None)
    return Dataset(
        name="digits",
        kind="image",
        train={"images": images[train], "labels": labels[train]},
        test={"images": images[test], "labels": labels[test]},
        info={"classes": 10, "max_value": 16},
    )


DATASETS: dict[str, Callable[[], Dataset]] = {"digits": load_digits}
