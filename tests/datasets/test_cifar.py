"""CIFAR: batches as Python 2 wrote them, and malicious pickles."""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tune_app.datasets import load_dataset
from tune_app.datasets.cifar import CIFAR10_CLASSES
from tune_app.errors import InputError

Make = Callable[..., Path]
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 3072), dtype=np.uint8)


def python2_text(text: bytes) -> bytes:
    return b"U" + bytes([len(text)]) + text


def python2_array(rows: np.ndarray, by_column: bool = False) -> bytes:
    """An array in protocol 2 as NumPy under Python 2 pickled it, opcode by opcode."""
    content = rows.tobytes("F" if by_column else "C")
    shape = struct.pack("<BBH", 0x4B, len(rows), 0)[:2] + b"M" + struct.pack("<H", rows.shape[1]) + b"\x86"
    kind = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    flag = b"\x88" if by_column else b"\x89"
    start = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
    return start + b"(K\x01" + shape + kind + flag + b"T" + struct.pack("<i", len(content)) + content + b"tb"


def python2_batch(rows: np.ndarray, labels: list[int], key: bytes, by_column: bool = False) -> bytes:
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    items = python2_text(key) + numbers + python2_text(b"data") + python2_array(rows, by_column)
    return b"\x80\x02}(" + items + b"u."


def python3_batch(content: dict[bytes, Any]) -> bytes:
    return pickle.dumps(content, protocol=2)


def cifar10(make_tar: Make, **changed: bytes) -> Path:
    batch = python2_batch(PIXELS, [0, 9, 3, 3], b"labels")
    names = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
    return make_tar({f"cifar-10-batches-py/{name}": changed.get(name, batch) for name in names})


def cifar100(make_tar: Make, **changed: bytes) -> Path:
    batches = {
        "meta": python3_batch({b"fine_label_names": [b"apple", b"bear", b"cloud"], b"coarse_label_names": [b"all"]}),
        "train": python2_batch(PIXELS, [2, 0, 1, 2], b"fine_labels"),
        "test": python2_batch(PIXELS[:2], [1, 1], b"fine_labels", by_column=True),
    }
    return make_tar({f"cifar-100-python/{name}": content for name, content in (batches | changed).items()})


def load(name: str, path: Path) -> Any:
    return load_dataset({"name": name, "path": str(path)})


def test_part_of_cifar10(real_data: Callable[[str], Path]) -> None:
    data = load("cifar10", real_data("cifar10"))
    assert data.train["images"].shape == (1000, 3, 32, 32)
    assert data.test["images"].shape == (500, 3, 32, 32)
    assert set(np.unique(data.train["labels"])) == set(range(10))
    assert data.info["class_names"] == CIFAR10_CLASSES


def test_cifar10_as_python_2_wrote_it(make_tar: Make) -> None:
    data = load("cifar10", cifar10(make_tar))
    assert data.train["images"].shape == (20, 3, 32, 32)
    assert (data.train["images"][:4].reshape(4, -1) == PIXELS).all()
    assert data.train["labels"][:4].tolist() == [0, 9, 3, 3]
    assert data.test["images"].shape == (4, 3, 32, 32)


def test_cifar100(make_tar: Make) -> None:
    data = load("cifar100", cifar100(make_tar))
    assert data.info["class_names"] == ("apple", "bear", "cloud")
    assert (data.train["images"].reshape(4, -1) == PIXELS).all()
    assert (data.test["images"].reshape(2, -1) == PIXELS[:2]).all()  # the same images, stored by column
    assert data.train["labels"].tolist() == [2, 0, 1, 2]


class Evil:
    """Runs a command when it is unpickled without protection."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def test_a_malicious_pickle_runs_nothing(make_tar: Make, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    content = python3_batch({b"data": Evil(touched), b"labels": [0]})
    pickle.loads(content)
    assert touched.exists()  # without protection, it runs
    touched.unlink()
    with pytest.raises(InputError, match=r"must be a pickle of plain values .* asks for (posix|nt)\.system"):
        load("cifar10", cifar10(make_tar, data_batch_3=content))
    assert not touched.exists()


PICKLES = {
    "eval": b"cbuiltins\neval\n(U\x011tR.",
    "getattr on what is allowed": b"\x80\x02cnumpy\nndarray\ncbuiltins\ngetattr\n.",
    "a module of ours": b"ctune_app.datasets.cifar\nos\n.",
    "objects": python3_batch({b"data": np.array([[None] * 3072], dtype=object), b"labels": [0]}),
    "floats": python3_batch({b"data": np.zeros((1, 3072)), b"labels": [0]}),
    "another width": python3_batch({b"data": np.zeros((1, 3000), np.uint8), b"labels": [0]}),
    "a shape that lies": python2_batch(PIXELS, [0] * 4, b"labels").replace(b"K\x04M", b"K\xffM"),
    "a text for the image": python3_batch({b"data": b"x" * 3072, b"labels": [0]}),
    "no dict": python3_batch([1, 2]),  # type: ignore[arg-type]
    "cut": python2_batch(PIXELS, [0] * 4, b"labels")[:-100],
    "empty": b"",
    "no pickle": b"\x93NUMPY",
    "a label too many": python3_batch({b"data": PIXELS, b"labels": [0] * 5}),
    "labels out of range": python3_batch({b"data": PIXELS, b"labels": [0, 1, 2, 10]}),
    "labels below zero": python3_batch({b"data": PIXELS, b"labels": [0, 1, 2, -1]}),
    "labels of text": python3_batch({b"data": PIXELS, b"labels": ["a"] * 4}),
    "another codec": b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x03\x00\x00\x00hextR.",
    "a memo that is not there": b"\x80\x02h\x05.",
    "a tuple of state": b"\x80\x02cnumpy\nndarray\n)R(K\x01tb.",
}


@pytest.mark.parametrize("fault", PICKLES)
def test_an_odd_batch_is_rejected(fault: str, make_tar: Make) -> None:
    path = cifar10(make_tar, data_batch_2=PICKLES[fault])
    with pytest.raises(InputError, match="the batch must ") as caught:
        load("cifar10", path)
    assert caught.value.where.startswith(f"{path}:")
    assert "data_batch_2" in caught.value.where


def test_a_missing_batch(make_tar: Make) -> None:
    with pytest.raises(InputError, match="but lacks data_batch_1"):
        load("cifar10", make_tar({"cifar-10-batches-py/test_batch": python2_batch(PIXELS, [0] * 4, b"labels")}))


@pytest.mark.parametrize("meta", [[], {}, {b"fine_label_names": []}, {b"fine_label_names": [1]}])
def test_classes_without_names(meta: Any, make_tar: Make) -> None:
    with pytest.raises(InputError, match="must name the fine classes"):
        load("cifar100", cifar100(make_tar, meta=python3_batch(meta)))
