"""Pruning levels: after which epochs a scheduler decides, and how few trials go on."""

from __future__ import annotations

import math

from tune_app.section import Pruning

LEVELS: dict[str, tuple[float, int]] = {
    # level: (epochs before the first decision as a share of all, reduction factor: one in so many goes on).
    # Reduction factors 2 to 4 are what the ASHA paper compares (https://arxiv.org/abs/1810.05934).
    "gentle": (0.3, 2),
    "normal": (0.1, 3),
    "aggressive": (0.0, 4),
}


def rungs(section: Pruning, epochs: int) -> tuple[tuple[int, ...], int]:
    """The epochs after which a trial of at most `epochs` epochs may be stopped, and the reduction factor.

    The rungs are grace, grace * factor, grace * factor ** 2, …, up to `epochs`, as ASHA has them; none where
    pruning is off.
    """
    if section.scheduler == "none" or section.level == "off":
        return (), 1
    share, factor = LEVELS[section.level]
    found = [max(1, math.floor(share * epochs))]
    while found[-1] * factor < epochs:
        found.append(found[-1] * factor)
    return tuple(found), factor
