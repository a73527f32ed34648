"""The user's own images in a NumPy archive."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from tune_app.datasets.dataset import Arrays, Dataset
from tune_app.datasets.labels import check_labels, check_numbers, lonely_classes
from tune_app.datasets.split import set_apart, shuffled
from tune_app.errors import InputError, nearest

NAMES = ("images", "labels", "test_images", "test_labels")
MAX_VALUE = 255


def load_npz(path: Path) -> Dataset:
    """Load ``images`` and ``labels``, and ``test_images`` and ``test_labels`` if both are there.

    Images are uint8, gray (N, height, width) or with 1 or 3 channels before or after height and width.
    Labels are whole numbers from 0 to classes - 1. Without a test part, a fifth of each class is split off with a
    fixed seed. The order is mixed by a fixed seed.

    Raises:
        InputError: the file is not a NumPy archive, or an array is missing or has another shape.
    """
    arrays = _read(path)
    images = _images(arrays["images"], f"{path}:images")
    labels = check_labels(arrays["labels"], len(images), f"{path}:labels")
    train: Arrays = {"images": images, "labels": labels}
    if "test_images" in arrays:
        train, test = shuffled(train), shuffled(_test_part(arrays, path, images, int(labels.max()) + 1))
    else:
        training, testing = set_apart(labels)
        train, test = ({name: array[rows] for name, array in train.items()} for rows in (training, testing))
    info = {"classes": int(labels.max()) + 1, "max_value": MAX_VALUE, **lonely_classes(train["labels"])}
    return Dataset(name=path.name, kind="image", train=train, test=test, info=info)


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("it holds a single array")
            arrays = {name: archive[name] for name in NAMES if name in archive.files}
            names = archive.files
    except (OSError, EOFError, ValueError, MemoryError, zipfile.BadZipFile) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
        raise InputError(
            f"the file must be a NumPy archive without Python objects, but {reason}",
            where=str(path),
            hint="write it with `np.savez(path, images=…, labels=…)`",
        ) from None
    needed = NAMES if {"test_images", "test_labels"} & set(names) else NAMES[:2]
    for name in needed:
        if name not in arrays:
            raise InputError(
                f"the archive must hold {', '.join(f'`{n}`' for n in needed)}, but has no `{name}`",
                where=str(path),
                hint=nearest(name, names) if names else "it is empty",
            )
    return arrays


def _test_part(arrays: dict[str, np.ndarray], path: Path, train_images: np.ndarray, classes: int) -> Arrays:
    images = _images(arrays["test_images"], f"{path}:test_images")
    labels = check_numbers(arrays["test_labels"], len(images), f"{path}:test_labels")
    if images.shape[1:] != train_images.shape[1:]:
        raise InputError(
            f"test images must have the shape of the others, {train_images.shape[1:]}, but have {images.shape[1:]}",
            where=f"{path}:test_images",
        )
    if labels.max() >= classes:
        raise InputError(
            f"test labels must be among the {classes} classes of the others, but reach {labels.max()}",
            where=f"{path}:test_labels",
        )
    return {"images": images, "labels": labels}


def _images(images: np.ndarray, where: str) -> np.ndarray:
    """Images as (N, channels, height, width)."""
    if images.dtype != np.uint8:
        hint = "convert values from 0 to 1 with `(images * 255).round().astype(np.uint8)`"
        if images.dtype.kind == "f" and not np.isfinite(images).all():
            hint = "some values are NaN or infinite: find out why, and leave out those images"
        rule = f"images must be of type uint8, 0 to {MAX_VALUE}, but are {images.dtype}"
        raise InputError(rule, where=where, hint=hint)
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[1] not in (1, 3) and images.shape[3] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    if images.ndim != 4 or images.shape[1] not in (1, 3) or images.size == 0:
        raise InputError(
            "images must be (N, height, width), or with 1 or 3 channels (N, channels, height, width), and not empty, "
            f"but the shape is {images.shape}",
            where=where,
        )
    return np.ascontiguousarray(images)
