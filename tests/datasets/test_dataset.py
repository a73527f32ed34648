"""A data set as a value: its parts and its content hash."""

from __future__ import annotations

import pickle
import time
from typing import Any

import numpy as np
import pytest

from tune_app.datasets.dataset import Dataset


def data_set(**train: Any) -> Dataset:
    return Dataset("made_up", "image", train, {"labels": np.arange(2)})


def texts(*values: str) -> np.ndarray:
    return np.array(values, dtype=object)


def test_a_sweep_gets_no_test_part() -> None:
    data = data_set(images=np.zeros((9, 1, 2, 2), np.uint8), labels=np.arange(9)).without_test()
    assert data.test == {}
    assert data.rows == 9
    assert data.head(7).rows == 7
    assert data_set().rows == 0


LABELS = np.arange(4)
DIFFERENT = {
    "as it is": data_set(labels=LABELS),
    "another value": data_set(labels=LABELS[::-1]),
    "another name": data_set(numbers=LABELS),
    "another type": data_set(labels=LABELS.astype(np.int32)),
    "another shape": data_set(labels=LABELS.reshape(2, 2)),
    "no test part": data_set(labels=LABELS).without_test(),
    "one array more": data_set(labels=LABELS, images=LABELS),
    "texts": data_set(texts=texts("ab", "c")),
    "texts cut elsewhere": data_set(texts=texts("a", "bc")),
    "an empty text more": data_set(texts=texts("ab", "c", "")),
    "other texts": data_set(texts=texts("ab", "é")),
    "half a pair": data_set(texts=texts("ab", "\ud800")),
}


def test_different_content_has_different_hashes() -> None:
    assert len({data.sha256() for data in DIFFERENT.values()}) == len(DIFFERENT)


@pytest.mark.parametrize("name", DIFFERENT)
def test_the_hash_depends_only_on_the_content(name: str) -> None:
    data = DIFFERENT[name]
    copy: Dataset = pickle.loads(pickle.dumps(Dataset(data.name, data.kind, data.train, data.test)))
    assert copy.sha256() == data.sha256()
    assert Dataset("other", "text", data.train, data.test, {"classes": 3}).sha256() == data.sha256()


def test_the_order_in_memory_does_not_matter() -> None:
    images = np.arange(24).reshape(4, 6)
    assert data_set(images=np.asfortranarray(images)).sha256() == data_set(images=images).sha256()


def test_the_hash_is_computed_once() -> None:
    data = data_set(images=np.zeros((50_000, 3, 32, 32), np.uint8))
    data.sha256()
    start = time.process_time()
    for _ in range(1000):
        data.sha256()
    assert time.process_time() - start < 0.1
