"""scikit-learn's digits, embedded."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tune_app.datasets.dataset import Dataset
from tune_app.datasets.entry import Entry

FILE = Path(__file__).parent / "files" / "digits.csv.gz"
TEST_SIZE = 297
SPLIT_SEED = 0


def load_digits(_: Sequence[Path] = ()) -> Dataset:
    """Load scikit-learn's digits: 1,797 images of 8x8 pixels, 0..16, ten classes; no download.

    The file is scikit-learn's, next to this module with its license: scikit-learn itself is not needed. The order of
    the file groups writers, so the split is a permutation with a fixed seed: 1,500 images to train and validate, 297 to
    test.
    """
    with gzip.open(FILE, "rt") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(table))
    images, labels = table[order, :-1].reshape(-1, 1, 8, 8), table[order, -1].astype(np.int64)
    train, test = slice(None, -TEST_SIZE), slice(-TEST_SIZE, None)
    return Dataset(
        name="digits",
        kind="image",
        train={"images": images[train], "labels": labels[train]},
        test={"images": images[test], "labels": labels[test]},
        info={"classes": 10, "max_value": 16},
    )


DIGITS = Entry(
    name="digits",
    kind="image",
    description="1,797 handwritten digits, 8x8, 10 classes; split 1,500 / 297 by a fixed permutation",
    license="BSD-3-Clause (scikit-learn); UCI: CC BY 4.0",
    load=load_digits,
)
