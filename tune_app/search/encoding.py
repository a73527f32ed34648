"""Configurations as points, for models that need numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tune_app.spaces.space import Space
from tune_app.spaces.variable import Categorical, Config

Array = np.ndarray[Any, np.dtype[np.float64]]
Positions = np.ndarray[Any, np.dtype[np.intp]]


def encode(space: Space, configs: Sequence[Config]) -> Array:
    """Configurations as points: a column per number, 0 to 1; a column per choice, so that any two are 1 apart.

    A variable without an effect is in the middle of its range, or has none of the choices. A value outside the space,
    as in a study with wider ranges, is at the nearer end, or has none of the choices.

    Returns:
        (n, columns). All of a variable's values are converted at once: one by one took most of a suggestion's time.
    """
    columns: list[Array] = []
    for name in space.order:
        domain, values = space.searched[name], [config[name] for config in configs]
        if name in space.when:
            active = np.array([space.active(name, config) for config in configs])
        else:
            active = np.ones(len(configs), bool)
        if isinstance(domain, Categorical):
            for choice in domain.choices:
                columns.append(np.where(active & [value == choice for value in values], 0.5**0.5, 0.0))
        elif domain.high == domain.low:
            columns.append(np.full(len(configs), 0.5))
        else:
            low, high = float(domain.low), float(domain.high)
            numbers = np.clip(np.array([float(value) for value in values]), low, high)
            if domain.log:
                low, high, numbers = math.log(low), math.log(high), np.log(numbers)
            columns.append(np.where(active, (numbers - low) / (high - low), 0.5))
    return np.stack(columns, axis=1) if columns else np.empty((len(configs), 0))


def variables_of(space: Space) -> Positions:
    """The index of the variable for each column of `encode`: (columns,)."""
    found: list[int] = []
    for position, name in enumerate(space.order):
        domain = space.searched[name]
        found += [position] * (len(domain.choices) if isinstance(domain, Categorical) else 1)
    return np.array(found, dtype=np.intp)
