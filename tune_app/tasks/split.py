"""The validation part: which rows of the training part are set apart."""

from __future__ import annotations

import torch
from torch import Tensor

from tune_app.errors import InputError

SEED = 0


def split_rows(count: int, *, validation_fraction: float, training_fraction: float) -> tuple[Tensor, Tensor]:
    """Numbers of the rows to train on and of those to validate on, out of `count`.

    Both come from one permutation, the same for every trial, so that trials are compared on the same rows.
    Validation takes the head of it and training the beginning of what remains: a smaller fraction of either is part
    of a larger one. At least one row is validated on and two are trained on, however small the fractions.

    Raises:
        InputError: `count` is below three.
    """
    if count < 3:
        raise InputError(f"a data set must have at least 3 rows to train and validate on, but has {count}")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(SEED))
    validation = min(max(1, round(count * validation_fraction)), count - 2)
    training = max(2, round((count - validation) * training_fraction))
    return order[validation : validation + training], order[:validation]


def probe_rows(count: int) -> int:
    """How many of `count` training rows the health figures look at: a fiftieth, but 8 to 64, to cost little."""
    return min(count, max(8, min(64, count // 50)))
