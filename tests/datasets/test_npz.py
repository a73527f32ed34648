"""A user's images in a NumPy archive: accepted shapes, and every error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tune_app.datasets import load_dataset
from tune_app.errors import InputError

IMAGES = np.arange(30 * 4 * 5, dtype=np.uint8).reshape(30, 4, 5)
LABELS = np.arange(30) % 3
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def save(**arrays: Any) -> Path:
        np.savez(tmp_path / "a.npz", **arrays)
        return tmp_path / "a.npz"

    return save


def load(path: Path) -> Any:
    return load_dataset({"kind": "npz", "path": str(path)})


def test_a_fifth_of_each_class_becomes_the_test_set(write: Write) -> None:
    data = load(write(images=IMAGES, labels=LABELS))
    assert (data.kind, data.info) == ("image", {"classes": 3, "max_value": 255})
    assert data.name.startswith("npz ")
    assert data.train["images"].shape == (24, 1, 4, 5)
    assert np.bincount(data.test["labels"]).tolist() == [2, 2, 2]
    both = np.concatenate([data.train["images"], data.test["images"]])
    assert sorted(map(bytes, both)) == sorted(map(bytes, IMAGES))
    rows = [int(np.flatnonzero((image[0] == IMAGES).all((1, 2)))[0]) for image in data.train["images"]]
    assert data.train["labels"].tolist() == LABELS[rows].tolist()
    assert load(write(images=IMAGES, labels=LABELS)).sha256() == data.sha256()


def test_the_users_test_set_stays_whole(write: Write) -> None:
    data = load(write(images=IMAGES, labels=LABELS, test_images=IMAGES[:5], test_labels=LABELS[:5]))
    assert (len(data.train["images"]), len(data.test["images"])) == (30, 5)
    assert sorted(data.test["labels"]) == sorted(LABELS[:5])


@pytest.mark.parametrize(
    ("shape", "form"), [((30, 4, 5), (1, 4, 5)), ((30, 1, 4, 5), (1, 4, 5)), ((30, 3, 4, 5), (3, 4, 5))]
)
def test_channels_first(shape: tuple[int, ...], form: tuple[int, ...], write: Write) -> None:
    assert load(write(images=np.zeros(shape, np.uint8), labels=LABELS)).train["images"].shape[1:] == form


def test_channels_last(write: Write) -> None:
    images = np.zeros((30, 4, 5, 3), np.uint8)
    images[..., 1] = 7
    data = load(write(images=images, labels=LABELS.astype(np.uint8)))
    assert data.train["images"].shape == (24, 3, 4, 5)
    assert data.train["images"].flags.c_contiguous
    assert (data.train["images"][:, 1] == 7).all()
    assert data.train["labels"].dtype == np.int64


GOOD = {"images": IMAGES, "labels": LABELS, "test_images": IMAGES[:5], "test_labels": LABELS[:5]}
FAULTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "no images": ({"labels": LABELS, "image": IMAGES}, "", "has no `images`"),
    "no labels": ({"images": IMAGES}, "", "has no `labels`"),
    "nothing": ({}, "", "has no `images`"),
    "test images alone": ({k: v for k, v in GOOD.items() if k != "test_labels"}, "", "has no `test_labels`"),
    "floats": (GOOD | {"images": IMAGES / 255}, ":images", "must be of type uint8, 0 to 255, but are float64"),
    "NaN in an image": (GOOD | {"images": np.where(IMAGES, IMAGES / 255, np.nan)}, ":images", "some values are NaN"),
    "flat images": (GOOD | {"images": IMAGES.reshape(30, 20)}, ":images", r"the shape is \(30, 20\)"),
    "two channels": (GOOD | {"images": np.zeros((30, 2, 4, 5), np.uint8)}, ":images", r"is \(30, 2, 4, 5\)"),
    "no rows": (GOOD | {"images": IMAGES[:0], "labels": LABELS[:0]}, ":images", "not empty"),
    "fewer labels": (
        GOOD | {"labels": LABELS[:29]},
        ":labels",
        r"one label per image, \(30,\), but .* \(29,\)",
    ),
    "labels in columns": (GOOD | {"labels": np.eye(30)}, ":labels", r"the shape is \(30, 30\)"),
    "NaN": (GOOD | {"labels": np.where(LABELS == 1, np.nan, LABELS)}, ":labels", "row 1 is NaN"),
    "float labels": (GOOD | {"labels": LABELS.astype(float)}, ":labels", "whole numbers, but their type is float64"),
    "texts": (GOOD | {"labels": LABELS.astype(str)}, ":labels", "whole numbers, but their type is <U"),
    "below zero": (GOOD | {"labels": LABELS - 1}, ":labels", "at least 0, but row 0 has -1"),
    "a gap": (GOOD | {"labels": LABELS * 2}, ":labels", "but 3 classes reach 4 and 1 is not among them"),
    "one class": (GOOD | {"labels": LABELS * 0}, ":labels", "at least two classes, but all 30 are 0"),
    "a class to test only": (
        GOOD | {"test_labels": np.full(5, 3)},
        ":test_labels",
        "3 classes of the others, but reach",
    ),
    "another size to test": (
        GOOD | {"test_images": IMAGES[:5, :3]},
        ":test_images",
        "the shape of the others",
    ),
    "objects": (GOOD | {"labels": np.array([None] * 30)}, "", "a NumPy archive without Python objects"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_names_the_array(fault: str, write: Write) -> None:
    arrays, place, message = FAULTS[fault]
    path = write(**arrays)
    with pytest.raises(InputError, match=message) as caught:
        load(path)
    assert caught.value.where == f"{path}{place}"


@pytest.mark.parametrize(
    ("labels", "hint"),
    [
        (LABELS.astype(float), "astype(int)"),
        (np.where(LABELS == 1, np.nan, LABELS), "drop the rows"),
        (LABELS + 0.5, "np.unique"),
        (LABELS.astype(str), "np.unique"),
    ],
)
def test_the_hint_never_turns_invalid_labels_into_classes(labels: Any, hint: str, write: Write) -> None:
    with pytest.raises(InputError) as caught:
        load(write(images=IMAGES, labels=labels))
    assert hint in caught.value.hint
    assert ("astype" in caught.value.hint) == ("astype" in hint)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", b"\x80\x04\x95"])
def test_a_file_that_is_not_an_archive(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InputError, match="must be a NumPy archive without Python objects, but ") as caught:
        load(tmp_path / "a.npz")
    assert "np.savez" in caught.value.hint


def test_a_single_array(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", IMAGES)
    with pytest.raises(InputError, match="it holds a single array"):
        load(tmp_path / "a.npy")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="but No such file or directory"):
        load(tmp_path / "a.npz")
