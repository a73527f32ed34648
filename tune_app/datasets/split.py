"""Orders rows and splits off a test part, for data sets without an official split."""

from __future__ import annotations

import numpy as np

from tune_app.datasets.dataset import Arrays

SEED = 0
TEST_FRACTION = 0.2
TEXT_TEST_FRACTION = 0.1


def shuffled(part: Arrays) -> Arrays:
    """The rows of a part in a fixed order that mixes rows that are together in the files."""
    order = np.random.default_rng(SEED).permutation(len(next(iter(part.values()))))
    return {name: array[order] for name, array in part.items()}


def set_apart(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the rows to train on and of those to test on: a fifth of each class, with a fixed seed.

    A class of two to seven rows has one test row; a class of one row has none.
    """
    rng = np.random.default_rng(SEED)
    train, test = [], []
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        count = max(round(len(rows) * TEST_FRACTION), min(1, len(rows) - 1))
        test.append(rows[:count])
        train.append(rows[count:])
    return rng.permutation(np.concatenate(train)), rng.permutation(np.concatenate(test))


def split_text(text: str) -> tuple[Arrays, Arrays]:
    """A text as code points: the first nine tenths to train on, the rest to test on."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").copy()
    start = len(points) - round(len(points) * TEXT_TEST_FRACTION)
    return {"text": points[:start]}, {"text": points[start:]}
