"""Configurations as points, for models that need numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from tune_app.spaces.space import Space
from tune_app.spaces.variable import Categorical, Config

Array = np.ndarray[Any, np.dtype[np.float64]]
Positions = np.ndarray[Any, np.dtype[np.intp]]


def encode(space: Space, config: Config) -> Array:
    """A configuration as a point: a column per number, 0 to 1; a column per choice, so that any two are 1 apart.

    A variable without an effect is in the middle of its range, or has none of the choices. A value outside the space,
    as in a study with wider ranges, is at the nearer end, or has none of the choices.
    """
    columns: list[float] = []
    for name in space.order:
        domain, active = space.searched[name], space.active(name, config)
        if isinstance(domain, Categorical):
            columns += [0.5**0.5 if active and config[name] == choice else 0.0 for choice in domain.choices]
        elif domain.high == domain.low or not active:
            columns.append(0.5)
        else:
            low, high = float(domain.low), float(domain.high)
            value = min(max(float(config[name]), low), high)
            if domain.log:
                low, high, value = float(np.log(low)), float(np.log(high)), float(np.log(value))
            columns.append((value - low) / (high - low))
    return np.array(columns)


def variables_of(space: Space) -> Positions:
    """The index of the variable for each column of `encode`: (columns,)."""
    found: list[int] = []
    for position, name in enumerate(space.order):
        domain = space.searched[name]
        found += [position] * (len(domain.choices) if isinstance(domain, Categorical) else 1)
    return np.array(found, dtype=np.intp)
