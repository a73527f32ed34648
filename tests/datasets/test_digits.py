"""The digits data set: sizes, content, and the split."""

from __future__ import annotations

import numpy as np

from tune_app.datasets import load_dataset

DIGITS_SHA256 = "fc6b2a20298ddd06a8187b03eb833f3fdbe55e906ac96f7f2204c7a4ee52e6f9"


def test_digits_are_the_real_ones() -> None:
    data = load_dataset("digits")
    assert data.kind == "image"
    assert data.train["images"].shape == (1500, 1, 8, 8)
    assert data.test["images"].shape == (297, 1, 8, 8)
    images = np.concatenate([data.train["images"], data.test["images"]])
    assert (images.min(), images.max()) == (0, data.info["max_value"])
    labels = np.concatenate([data.train["labels"], data.test["labels"]])
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # as in scikit-learn


def test_digits_are_the_same_everywhere() -> None:
    assert load_dataset("digits").sha256() == DIGITS_SHA256


def test_parts_are_disjoint() -> None:
    from sklearn.datasets import load_digits

    data = load_dataset("digits")
    original = sorted(map(bytes, load_digits().images.astype(np.uint8)))
    parts = sorted(map(bytes, np.concatenate([data.train["images"], data.test["images"]])))
    assert parts == original
    assert len(set(original)) == len(original)  # no image occurs twice, so the union above proves it
