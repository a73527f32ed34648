"""What a new study begins with: a portfolio of configurations that past studies of the same task liked.

Greedy portfolios of past results: Feurer et al. 2022 (auto-sklearn 2.0); Pfisterer et al. 2021.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tune_app.search.encoding import encode
from tune_app.search.past_study import PastPreference
from tune_app.spaces.space import Space
from tune_app.spaces.variable import Config

PORTFOLIO = 8
"""Configurations of a portfolio."""
CANDIDATES = 32
"""The best of each past study, from which the portfolio is chosen."""


def portfolio(space: Space, past: Sequence[PastPreference], size: int = PORTFOLIO) -> list[Config]:
    """Up to `size` configurations, each the one that adds most to what every past study likes best among them."""
    candidates: list[Config] = []
    for one in past:
        candidates += [config for config in one.fitting[:CANDIDATES] if config not in candidates]
    if not candidates:
        return []
    points = np.array([encode(space, config) for config in candidates])
    votes = np.array([one.preference.votes(points) for one in past])
    best = np.zeros(len(past))
    chosen: list[int] = []
    while len(chosen) < min(size, len(candidates)):
        # Once no candidate adds anything, the one that is liked most on the whole.
        gains = np.maximum(best[:, None], votes).mean(0) + 1e-3 * votes.mean(0)
        gains[chosen] = -np.inf
        chosen.append(int(gains.argmax()))
        best = np.maximum(best, votes[:, chosen[-1]])
    return [candidates[position] for position in chosen]
