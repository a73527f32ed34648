"""The validation part: which rows of the training part are set apart."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tune_app.errors import InputError

SEED = 0


def split_rows(
    count: int, *, validation_fraction: float, training_fraction: float, groups: Any = None
) -> tuple[Tensor, Tensor]:
    """Numbers of the rows to train on and of those to validate on, out of `count`.

    Both come from one permutation, the same for every trial, so that trials are compared on the same rows.
    Validation takes the head of it and training the beginning of what remains: a smaller fraction of either is part
    of a larger one. At least one row is validated on and two are trained on, however small the fractions.

    Args:
        groups: (count) numbers; rows of the same number come from one source, such as photographs of one sign, and
            stay on one side, so that what is measured is a new source. Validation then takes whole groups, up to the
            one in which its fraction ends.

    Raises:
        InputError: `count` is below three.
    """
    if count < 3:
        raise InputError(f"a data set must have at least 3 rows to train and validate on, but has {count}")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(SEED))
    validation = min(max(1, round(count * validation_fraction)), count - 2)
    if groups is not None:
        order, validation = _by_group(order, torch.tensor(groups, dtype=torch.int64), validation)
    training = max(2, round((count - validation) * training_fraction))
    return order[validation : validation + training], order[:validation]


def _by_group(order: Tensor, groups: Tensor, validation: int) -> tuple[Tensor, int]:
    """`order` with the rows of a group one after another, and `validation` moved to where a group ends."""
    _, numbers = torch.unique(groups[order], return_inverse=True)
    firsts = torch.full((int(numbers.max()) + 1,), len(order)).scatter_reduce(
        0, numbers, torch.arange(len(order)), "amin"
    )
    place = firsts[numbers]
    together = place.argsort(stable=True)
    ends = (place[together].diff() != 0).nonzero().flatten() + 1
    fitting = ends[ends <= len(order) - 2].tolist()
    # The first end at or after the fraction's; with one group alone, nothing can be kept apart.
    return order[together], next((end for end in fitting if end >= validation), fitting[-1] if fitting else validation)


def probe_rows(count: int) -> int:
    """How many of `count` training rows the health figures look at: a fiftieth, but 8 to 64, to cost little."""
    return min(count, max(8, min(64, count // 50)))
