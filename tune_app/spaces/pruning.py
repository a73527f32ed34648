"""Pruning levels: after which epochs a scheduler decides, and how many trials continue."""

from __future__ import annotations

import math

from tune_app.spaces.section import Pruning

LEVELS: dict[str, tuple[float, int]] = {
    # level: (epochs before the first decision as a share of all, reduction factor: one in this many continues).
    # Set by benchmarks/search.py: early rungs find better models, see docs/search.md.
    "gentle": (0.1, 3),
    "normal": (0.0, 4),
    "aggressive": (0.0, 6),
}
BRACKETS = 3
"""Successive halvings that Hyperband runs side by side."""
MEDIAN_DECISIONS = 10
"""How often per trial the median rule decides: not after every epoch, because a report to the driver costs 10 ms."""


def rungs(section: Pruning, epochs: int) -> tuple[tuple[int, ...], int]:
    """The epochs after which a trial of at most `epochs` epochs may be stopped, and the reduction factor.

    For successive halving they are grace, grace * factor, grace * factor ** 2, …, up to `epochs`; for the median rule
    they are evenly spaced, after the same grace. Empty if pruning is off.
    """
    if section.scheduler == "none" or section.level == "off":
        return (), 1
    share, factor = LEVELS[section.level]
    grace = max(1, math.floor(share * epochs))
    if section.scheduler == "median":
        return tuple(range(grace, epochs, math.ceil(epochs / MEDIAN_DECISIONS))) or (grace,), factor
    found = [grace]
    while found[-1] * factor < epochs:
        found.append(found[-1] * factor)
    return tuple(found), factor


def expected_epochs(section: Pruning, epochs: int) -> float:
    """Mean epochs of a trial, if as many are stopped as the scheduler aims to.

    Successive halving lets one in `factor` continue at each rung; in Hyperband, a trial is equally likely to be in any
    bracket (they start at the first, the second and the third rung); the median rule stops half.
    """
    found, factor = rungs(section, epochs)
    found = tuple(rung for rung in found if rung < epochs)
    if section.scheduler == "median":
        return epochs - 0.5 * (epochs - found[0]) if found else float(epochs)
    starts = range(min(BRACKETS, len(found) or 1)) if section.scheduler == "hyperband" else (0,)
    return sum(_halving(found[start:], factor, epochs) for start in starts) / len(starts)


def _halving(found: tuple[int, ...], factor: int, epochs: int) -> float:
    total, share, done = 0.0, 1.0, 0
    for rung in (*found, epochs):
        total += share * (rung - done)
        done, share = rung, share / factor
    return total
