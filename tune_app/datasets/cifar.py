"""CIFAR-10 and CIFAR-100 (Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009)."""

from __future__ import annotations

import io
import pickle
import posixpath
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tune_app.datasets.archive import read_tar
from tune_app.datasets.dataset import Arrays, Dataset
from tune_app.datasets.entry import Entry, RemoteFile
from tune_app.errors import InputError

ROW = 3 * 32 * 32
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR10_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
UNPICKLING_ERRORS = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    MemoryError,
)
"""Exceptions of a truncated or forged pickle."""


def load_cifar10(files: Sequence[Path]) -> Dataset:
    """Load CIFAR-10; the split is the official one.

    Raises:
        InputError: the archive is damaged, lacks a batch, or a batch is not a batch of images.
    """
    (path,) = files
    batches = _read(path, {*CIFAR10_TRAIN, "test_batch"})
    return Dataset(
        name="cifar10",
        kind="image",
        train=_part(path, batches, CIFAR10_TRAIN, b"labels", len(CIFAR10_CLASSES)),
        test=_part(path, batches, ("test_batch",), b"labels", len(CIFAR10_CLASSES)),
        info={"classes": len(CIFAR10_CLASSES), "max_value": 255, "class_names": CIFAR10_CLASSES},
    )


def load_cifar100(files: Sequence[Path]) -> Dataset:
    """Load CIFAR-100 with its 100 fine classes; the split is the official one.

    Raises:
        InputError: the archive is damaged, lacks a batch, or a batch is not a batch of images.
    """
    (path,) = files
    batches = _read(path, {"train", "test", "meta"})
    names = batches["meta"].get(b"fine_label_names") if isinstance(batches["meta"], dict) else None
    if not isinstance(names, list) or not names or not all(isinstance(name, bytes) for name in names):
        raise _fault(path, "meta", "must name the fine classes")
    return Dataset(
        name="cifar100",
        kind="image",
        train=_part(path, batches, ("train",), b"fine_labels", len(names)),
        test=_part(path, batches, ("test",), b"fine_labels", len(names)),
        info={
            "classes": len(names),
            "max_value": 255,
            "class_names": tuple(name.decode("utf-8", "replace") for name in names),
        },
    )


class RestrictedUnpickler(pickle.Unpickler):
    """Reads lists, numbers, strings and arrays of bytes; rejects everything else in a pickle.

    Never calls
    NumPy: an array becomes an `ArrayState`. Byte strings of Python 2, which wrote the official files, stay bytes.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="bytes")

    def find_class(self, module: str, name: str) -> Any:
        """Harmless substitutes for the few names in a pickled array."""
        if (module, name) in ALLOWED:
            return ALLOWED[module, name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


class ArrayState:
    """Substitute for an array or its type while reading a pickle: stores the state and calls nothing."""

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def images(self) -> np.ndarray:
        """The array as uint8 (count, 3, 32, 32).

        Raises:
            ValueError: it is not an array of bytes in rows of 3,072.
        """
        try:
            _, (count, width), kind, by_column, content = self.state
            fits = kind.arguments[0] in ("u1", b"u1") and width == ROW and len(content) == count * width
        except (TypeError, AttributeError, IndexError, ValueError):
            fits = False
        if not fits or not isinstance(content, bytes):
            raise ValueError("is not an array of bytes in rows of 3,072")
        rows = np.frombuffer(content, dtype=np.uint8).reshape(count, width, order="F" if by_column else "C")
        return rows.reshape(count, 3, 32, 32)


def _latin1(text: str, encoding: str) -> bytes:
    # How Python 3 pickles bytes in a Python 2 protocol.
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it holds bytes as {encoding!r}")
    return text.encode("latin1")


ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): ArrayState,
    ("numpy._core.multiarray", "_reconstruct"): ArrayState,
    ("numpy", "ndarray"): ArrayState,
    ("numpy", "dtype"): ArrayState,
    ("_codecs", "encode"): _latin1,
}


def _read(path: Path, names: set[str]) -> dict[str, Any]:
    batches = {}
    for name, content in read_tar(path, lambda name: posixpath.basename(name) in names):
        batch = posixpath.basename(name)
        try:
            batches[batch] = RestrictedUnpickler(content).load()
        except UNPICKLING_ERRORS as error:
            raise _fault(path, name, f"must be a pickle of plain values and arrays of numbers, but {error}") from None
    if missing := sorted(names - set(batches)):
        raise InputError(f"the archive must hold {', '.join(sorted(names))}, but lacks {missing[0]}", where=str(path))
    return batches


def _part(path: Path, batches: dict[str, Any], names: Sequence[str], key: bytes, classes: int) -> Arrays:
    images, labels = [], []
    for name in names:
        batch = batches[name]
        data, found = (batch.get(b"data"), batch.get(key)) if isinstance(batch, dict) else (None, None)
        if not isinstance(data, ArrayState):
            raise _fault(path, name, "must hold images as `data`")
        try:
            images.append(data.images())
        except ValueError as error:
            raise _fault(path, name, f"must hold images as `data`, which {error}") from None
        if not isinstance(found, list) or len(found) != len(images[-1]):
            raise _fault(path, name, f"must hold as many `{key.decode()}` as images")
        if not all(isinstance(label, int) and 0 <= label < classes for label in found):
            raise _fault(path, name, f"must hold `{key.decode()}` from 0 to {classes - 1}")
        labels.append(np.array(found, dtype=np.int64))
    return {"images": np.concatenate(images), "labels": np.concatenate(labels)}


def _fault(path: Path, member: str, text: str) -> InputError:
    return InputError(f"the batch {text}", where=f"{path}:{member}", hint="use the official file")


_entry = partial(
    Entry, kind="image", license="none stated; its author asks for a citation (Krizhevsky, 2009)", archives="*.tar.gz"
)

CIFAR10 = _entry(
    name="cifar10",
    description="60,000 photographs, 32x32 in color, 10 classes; official split 50,000 / 10,000",
    load=load_cifar10,
    files=(
        RemoteFile(
            "cifar-10-python.tar.gz",
            ("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",),
            "sha256:6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
            170_498_071,
        ),
    ),
)

CIFAR100 = _entry(
    name="cifar100",
    description="60,000 photographs, 32x32 in color, 100 classes; official split 50,000 / 10,000",
    load=load_cifar100,
    files=(
        RemoteFile(
            "cifar-100-python.tar.gz",
            ("https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",),
            "sha256:85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
            169_001_437,
        ),
    ),
)
