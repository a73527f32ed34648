"""IDX files: MNIST and Fashion-MNIST."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tune_app.datasets import load_dataset
from tune_app.datasets.idx import read_idx
from tune_app.datasets.registry import DATASETS
from tune_app.errors import InputError

NAMES = [file.name for file in DATASETS["mnist"].files]
MNIST_SHA256 = "720f109b"
IMAGES = struct.pack(">HBBIII", 0, 8, 3, 2, 3, 4) + bytes(range(24))
LABELS = struct.pack(">HBBI", 0, 8, 1, 2) + bytes([7, 0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images with labels, used as both training and test set."""
    for name, content in zip(NAMES, (IMAGES, LABELS) * 2, strict=True):
        (tmp_path / name).write_bytes(gzip.compress(content))
    return tmp_path


def load(folder: Path) -> object:
    return load_dataset({"name": "mnist", "path": str(folder)})


def test_mnist(real_data: Callable[[str], Path]) -> None:
    data = load_dataset({"name": "mnist", "path": str(real_data("mnist"))})
    assert (data.kind, data.info["classes"], data.info["max_value"]) == ("image", 10, 255)
    assert data.train["images"].shape == (60_000, 1, 28, 28)
    assert data.test["images"].shape == (10_000, 1, 28, 28)
    assert data.train["images"].dtype == np.uint8
    assert np.bincount(data.train["labels"]).tolist()[:3] == [5923, 6742, 5958]  # as published
    assert data.train["labels"][:5].tolist() == [5, 0, 4, 1, 9]
    assert data.sha256().startswith(MNIST_SHA256)


def test_part_of_fashion_mnist(real_data: Callable[[str], Path]) -> None:
    data = load_dataset({"name": "fashion_mnist", "path": str(real_data("fashion_mnist"))})
    assert (len(data.train["images"]), len(data.test["images"])) == (2000, 900)
    assert data.info["class_names"][data.train["labels"][0]] == "Ankle boot"
    assert data.info["official"] is False


def test_images_and_labels_belong_together(folder: Path) -> None:
    data = load_dataset({"name": "mnist", "path": str(folder)})
    assert data.train["images"].tolist() == np.arange(24).reshape(2, 1, 3, 4).tolist()
    assert data.train["labels"].tolist() == [7, 0]
    assert data.train["images"].flags.writeable
    assert data.train["labels"].dtype == np.int64


FAULTS = {
    "no gzip": (0, b"PK not gzip", "complete gzipped IDX file"),
    "cut gzip": (0, gzip.compress(IMAGES)[:30], "complete gzipped IDX file"),
    "empty": (0, gzip.compress(b""), "complete gzipped IDX file"),
    "floats": (0, gzip.compress(b"\0\0\x0d\x01\0\0\0\0"), "its type is 0xd"),
    "too few values": (0, gzip.compress(IMAGES[:-1]), "the 24 values that its head states, but holds 23"),
    "too many values": (0, gzip.compress(IMAGES + b"x"), "the 24 values that its head states, but holds more"),
    "a huge head": (0, gzip.compress(struct.pack(">HBBII", 0, 8, 2, 2**31, 2**31)), "at most 1,073,741,824 values"),
    "labels for images": (0, gzip.compress(LABELS), "must hold images"),
    "another count": (1, gzip.compress(struct.pack(">HBBI", 0, 8, 1, 1) + b"\1"), "must hold 2 labels"),
    "no such class": (3, gzip.compress(LABELS[:-1] + b"\x0a"), "labels below 10, but holds 10"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_names_its_file(fault: str, folder: Path) -> None:
    number, content, message = FAULTS[fault]
    (folder / NAMES[number]).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        load(folder)
    assert caught.value.where == str(folder / NAMES[number])


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / NAMES[2]).unlink()
    with pytest.raises(InputError, match=f"lacks {NAMES[2]}"):
        load(folder)


def test_a_scalar_shape(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(struct.pack(">HBBI", 0, 8, 1, 3) + b"abc"))
    assert read_idx(path).tolist() == [97, 98, 99]
