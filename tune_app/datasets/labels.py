"""Checks a user's class numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tune_app.errors import InputError


def check_labels(labels: np.ndarray, rows: int, where: str) -> np.ndarray:
    """Class numbers of `rows` rows as int64.

    Raises:
        InputError: they are not one whole number per row, starting at 0 without gaps, with at least two classes.
    """
    labels = check_numbers(labels, rows, where)
    found = np.unique(labels)
    if len(found) < 2:
        raise InputError(f"labels must have at least two classes, but all {rows:,} are {found[0]}", where=where)
    if (gaps := np.flatnonzero(found != np.arange(len(found)))).size:
        raise InputError(
            f"labels must be 0 to classes - 1 without a gap, but {len(found)} classes reach {found[-1]} "
            f"and {gaps[0]} is not among them",
            where=where,
            hint="renumber the classes, for example with `np.unique(labels, return_inverse=True)[1]`",
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
        raise _no_numbers(labels, where)
    if labels.min() < 0:
        row = int(labels.argmin())
        raise InputError(f"labels must be at least 0, but row {row} has {labels[row]}", where=where)
    return labels.astype(np.int64)


def lonely_classes(labels: np.ndarray, names: Sequence[str] = ()) -> dict[str, tuple[str, ...]]:
    """What `Dataset.info` says of classes with a single row to train on; nothing if there are none.

    Args:
        labels: of the training part.
        names: of the classes; their numbers without.
    """
    lonely = np.flatnonzero(np.bincount(labels) == 1).tolist()
    found = [names[number] if names else str(number) for number in lonely]
    if not found:
        return {}
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return {"notes": (f"class `{found[0]}`{more}: only one row, so that none is left for validation",)}


def _no_numbers(labels: np.ndarray, where: str) -> InputError:
    """The hint must not turn missing labels into classes: NaN as an integer is the smallest integer."""
    found, hint = f"their type is {labels.dtype}", "number the classes with `np.unique(labels, return_inverse=True)[1]`"
    if labels.dtype.kind == "f":
        unclear = np.flatnonzero(~np.isfinite(labels))
        broken = np.flatnonzero(labels != np.floor(labels))
        if unclear.size:
            found, hint = f"row {unclear[0]} is {labels[unclear[0]]}", "drop the rows without a label"
            found = found.replace("nan", "NaN")
        elif broken.size:
            found = f"row {broken[0]} is {labels[broken[0]]}"
        else:
            hint = "convert them with `labels.astype(int)`"
    elif labels.dtype.kind == "b":
        hint = "convert them with `labels.astype(int)`"
    return InputError(f"labels must be whole numbers, but {found}", where=where, hint=hint)
