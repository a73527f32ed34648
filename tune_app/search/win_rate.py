"""One score for all trials, no matter how long each was trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

MOST_RIVALS = 512
"""Maximum number of trials to compare each one with: comparing all pairs takes quadratic time."""


def win_rates(curves: Sequence[Array], rng: np.random.Generator) -> Array:
    """The fraction of other trials that each one beats at the last epoch both have reached: (trials,), 0 to 1.

    Args:
        curves: the reports of each trial after epochs 1, 2, …, larger is better; NaN for an epoch without a value,
            which is neither better nor worse; empty for a trial that diverged, which loses to all others.
    """
    count = len(curves)
    lengths = np.array([len(curve) for curve in curves])
    table = np.full((count, max(1, int(lengths.max(initial=0)))), np.nan)
    for row, curve in zip(table, curves, strict=True):
        row[: len(curve)] = curve
    rivals = np.arange(count) if count <= MOST_RIVALS else rng.choice(count, MOST_RIVALS, replace=False)
    theirs = lengths[rivals]
    wins = np.where(lengths > 0, (theirs == 0).sum(), 0.5 * (theirs == 0).sum())
    for length in np.unique(lengths[lengths > 0]):
        # Trials that end here meet all rivals that got this far; longer ones meet those that end here.
        ending, further = lengths == length, lengths > length
        values, places = table[:, length - 1], rivals[theirs >= length]
        wins[ending] += _beaten(values[ending], values[places])
        wins[further] += _beaten(values[further], values[rivals[theirs == length]])
    rates: Array = wins / max(1, len(rivals))
    return rates


def _beaten(mine: Array, theirs: Array) -> Array:
    """How many of `theirs` (rivals,) each of `mine` (n,) is larger than; an equal one and NaN count as half: (n,)."""
    known = np.sort(theirs[~np.isnan(theirs)])
    halves = np.searchsorted(known, mine, "left") + np.searchsorted(known, mine, "right") + len(theirs) - len(known)
    return np.where(np.isnan(mine), len(theirs), halves) / 2
