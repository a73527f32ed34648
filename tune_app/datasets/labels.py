"""Class numbers as a user gives them, checked."""

from __future__ import annotations

import numpy as np

from tune_app.errors import InputError


def check_labels(labels: np.ndarray, rows: int, where: str) -> np.ndarray:
    """Class numbers of `rows` rows as int64.

    Raises:
        InputError: they are not one whole number per row, from 0 on without a gap, of at least two classes.
    """
    labels = check_numbers(labels, rows, where)
    found = np.unique(labels)
    if len(found) < 2:
        raise InputError(f"labels must be of at least two classes, but all {rows:,} are {found[0]}", where=where)
    if (gaps := np.flatnonzero(found != np.arange(len(found)))).size:
        raise InputError(
            f"labels must be 0 to classes - 1 without a gap, but {len(found)} classes reach {found[-1]} "
            f"and {gaps[0]} is not among them",
            where=where,
            hint="number the classes anew, for example by `np.unique(labels, return_inverse=True)[1]`",
        )
    return labels


def check_numbers(labels: np.ndarray, rows: int, where: str) -> np.ndarray:
    """Whole numbers from 0 on, one per row, as int64.

    Raises:
        InputError: they are not.
    """
    if labels.shape != (rows,):
        raise InputError(f"there must be one label per image, ({rows},), but the shape is {labels.shape}", where=where)
    if labels.dtype.kind not in "iu":
        absent = np.flatnonzero(np.isnan(labels)) if labels.dtype.kind == "f" else np.array([])
        found = f"row {absent[0]} is NaN" if absent.size else f"their type is {labels.dtype}"
        raise InputError(
            f"labels must be whole numbers, but {found}", where=where, hint="convert them with `labels.astype(int)`"
        )
    if labels.min() < 0:
        row = int(labels.argmin())
        raise InputError(f"labels must be at least 0, but row {row} has {labels[row]}", where=where)
    return labels.astype(np.int64)
