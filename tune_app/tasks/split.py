"""The validation part: which training rows are held out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tune_app.errors import InputError

SEED = 0


def split_rows(
    count: int, *, validation_fraction: float, training_fraction: float, groups: Any = None, labels: Any = None
) -> tuple[Tensor, Tensor]:
    """Numbers of the rows to train on and of those to validate on, out of `count`.

    Both come from one permutation, the same for every trial, so that trials are compared on the same rows.
    Validation uses its start and training the beginning of the rest: a smaller fraction of either is a subset of a
    larger one. At least one validation row and two training rows are used, no matter how small the fractions are.

    Args:
        groups: (count) numbers; rows with the same number come from one source, such as photographs of one sign, and
            stay on one side, so that validation measures new sources. Validation then uses whole groups.
        labels: (count) classes; with `groups`, validation uses its fraction of each class, as closely as whole groups
            allow, so that no class with two groups is left out.

    Raises:
        InputError: `count` is below three.
    """
    if count < 3:
        raise InputError(f"a data set must have at least 3 rows to train and validate on, but has {count}")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(SEED))
    size = min(max(1, round(count * validation_fraction)), count - 2)
    validated = torch.zeros(count, dtype=torch.bool)
    if groups is not None:
        classes = torch.zeros(count, dtype=torch.int64) if labels is None else torch.tensor(labels, dtype=torch.int64)
        validated = _validated_groups(order, torch.tensor(groups, dtype=torch.int64), classes, validation_fraction)
    if not 1 <= int(validated.sum()) <= count - 2:  # without groups, or too few of them to keep them whole
        validated = torch.zeros(count, dtype=torch.bool).index_fill(0, order[:size], True)
    left = order[~validated[order]]
    return left[: max(2, round(len(left) * training_fraction))], order[validated[order]]


def _validated_groups(order: Tensor, groups: Tensor, classes: Tensor, fraction: float) -> Tensor:
    """Which rows are in groups to validate on: of each class the first ones, whose rows come nearest to `fraction`.

    Groups are in the order of their first rows in `order`, which does not depend on how large they are.
    """
    _, numbers = torch.unique(groups, return_inverse=True)
    rows = torch.arange(len(order))
    first_rows = torch.full((int(numbers.max()) + 1,), len(order)).scatter_reduce(0, numbers, rows, "amin")
    places = order.argsort()[first_rows]
    sizes = torch.bincount(numbers)
    chosen = torch.zeros(len(sizes), dtype=torch.bool)
    for label in torch.unique(classes[first_rows]):
        members = (classes[first_rows] == label).nonzero().flatten()
        members = members[places[members].argsort()]
        if len(members) > 1:  # keep one for training
            sums = sizes[members].cumsum(0)
            chosen[members[: int((sums[:-1] - fraction * sums[-1]).abs().argmin()) + 1]] = True
    return chosen[numbers]


def probe_rows(count: int) -> int:
    """How many of `count` training rows to use for the health scores: 1/50, but 8 to 64, to keep the cost low."""
    return min(count, max(8, min(64, count // 50)))
