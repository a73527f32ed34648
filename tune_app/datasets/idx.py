"""MNIST and Fashion-MNIST: images and labels in IDX files."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from tune_app.datasets.dataset import Arrays, Dataset
from tune_app.datasets.entry import Entry, RemoteFile
from tune_app.errors import InputError

UNSIGNED_BYTE = 0x08
MAX_BYTES = 2**30
CLASSES = 10
CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


def read_idx(path: Path) -> np.ndarray:
    """Read a gzipped IDX file of bytes: uint8, in the shape stated in the file.

    The format is at the bottom of
    http://yann.lecun.com/exdb/mnist/: two zero bytes, a type, the number of dimensions, each dimension as a big-endian
    32-bit number, then the values.

    Raises:
        InputError: it is not a gzip file, not an IDX file of bytes, or its length does not match its header.
    """
    try:
        with gzip.open(path) as file:
            zeros, kind, dimensions = struct.unpack(">HBB", file.read(4))
            if zeros or kind != UNSIGNED_BYTE:
                raise _fault(path, f"must start like an IDX file of bytes, but its type is {kind:#x}")
            shape = struct.unpack(f">{dimensions}I", file.read(4 * dimensions))
            size = math.prod(shape)
            if size > MAX_BYTES:
                raise _fault(path, f"must hold at most {MAX_BYTES:,} values, but states {size:,}")
            values = np.frombuffer(file.read(size + 1), dtype=np.uint8)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise _fault(path, f"must be a complete gzipped IDX file, but {error}") from None
    if len(values) != size:
        found = "more" if len(values) > size else f"{len(values):,}"
        raise _fault(path, f"must hold the {size:,} values that its head states, but holds {found}")
    return values.reshape(shape).copy()  # a view of bytes is read-only, which torch warns about


def load_idx(files: Sequence[Path], name: str, class_names: tuple[str, ...]) -> Dataset:
    """Load training images, training labels, test images and test labels; the split is the official one.

    Raises:
        InputError: a file is damaged, or images and labels do not match.
    """
    train_images, train_labels, test_images, test_labels = files
    return Dataset(
        name=name,
        kind="image",
        train=_part(train_images, train_labels),
        test=_part(test_images, test_labels),
        info={"classes": CLASSES, "max_value": 255, "class_names": class_names},
    )


def _part(images_path: Path, labels_path: Path) -> Arrays:
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3:
        raise _fault(images_path, f"must hold images (count, height, width), but has shape {images.shape}")
    if labels.ndim != 1 or len(labels) != len(images):
        raise _fault(labels_path, f"must hold {len(images):,} labels as there are images, but has shape {labels.shape}")
    if labels.size and labels.max() >= CLASSES:
        raise _fault(labels_path, f"must hold labels below {CLASSES}, but holds {labels.max()}")
    return {"images": images[:, None], "labels": labels.astype(np.int64)}


def _fault(path: Path, text: str) -> InputError:
    return InputError(f"the file {text}", where=str(path))


def _files(addresses: tuple[str, ...], checksums: tuple[str, ...], sizes: tuple[int, ...]) -> tuple[RemoteFile, ...]:
    names = [f"{part}-{what}-ubyte.gz" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]
    return tuple(
        RemoteFile(name, tuple(address + name for address in addresses), f"md5:{checksum}", size)
        for name, checksum, size in zip(names, checksums, sizes, strict=True)
    )


MNIST = Entry(
    name="mnist",
    kind="image",
    description="70,000 handwritten digits, 28x28, 10 classes; official split 60,000 / 10,000",
    license="CC BY-SA 3.0",
    load=partial(load_idx, name="mnist", class_names=tuple("0123456789")),
    files=_files(
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
        (
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
        (9_912_422, 28_881, 1_648_877, 4_542),
    ),
)

FASHION_MNIST = Entry(
    name="fashion_mnist",
    kind="image",
    description="70,000 articles of clothing, 28x28, 10 classes; official split 60,000 / 10,000",
    license="MIT",
    load=partial(load_idx, name="fashion_mnist", class_names=CLOTHES),
    files=_files(
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        ),
        (
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
        (26_421_880, 29_515, 4_422_102, 5_148),
    ),
)
