"""One score for all trials, however far each was trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

MOST_RIVALS = 512
"""Trials that each is compared with, at most: comparing all with all takes the square of their number."""


def win_rates(curves: Sequence[Array], rng: np.random.Generator) -> Array:
    """The share of the others that each trial beats at the last epoch that both have reached: (trials,), 0 to 1.

    Args:
        curves: what each trial reported after its epochs 1, 2, …, larger is better; NaN for an epoch without a figure,
            which is neither better nor worse; empty for one that diverged, which loses to all others.
    """
    count = len(curves)
    lengths = np.array([len(curve) for curve in curves])
    table = np.full((count, max(1, int(lengths.max(initial=0)))), np.nan)
    for row, curve in zip(table, curves, strict=True):
        row[: len(curve)] = curve
    rivals = np.arange(count) if count <= MOST_RIVALS else rng.choice(count, MOST_RIVALS, replace=False)
    last = np.minimum(lengths[:, None], lengths[None, rivals]) - 1
    mine = table[np.arange(count)[:, None], np.maximum(last, 0)]
    theirs = table[rivals[None, :], np.maximum(last, 0)]
    wins = np.where(mine > theirs, 1.0, np.where(mine < theirs, 0.0, 0.5))
    wins = np.where(last < 0, 0.5 + 0.5 * np.sign(lengths[:, None] - lengths[None, rivals]), wins)
    rates: Array = wins.mean(1)
    return rates
