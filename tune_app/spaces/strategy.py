"""Samplers, which propose configurations, and schedulers, which stop trials early, by name.

To add one, add an entry here and, under the same name, the function that creates it in `tune_app.search.samplers` or
`tune_app.search.schedule`. Optuna's samplers and Ray are only imported when a sweep needs them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from tune_app.errors import InputError
from tune_app.spaces.space import Space
from tune_app.spaces.variable import Categorical, Config, values_of

LARGEST_GRID = 100_000
"""Maximum combinations in a grid; more would fill the memory before the first trial."""


@dataclass(frozen=True)
class Strategy:
    """One way to propose configurations or to stop trials.

    Attributes:
        summary: a one-line description for users.
        check: rejects a space that the strategy cannot search, with an `InputError`.
        many_objectives: whether a sampler can search for a Pareto front.
    """

    summary: str
    check: Callable[[Space], None] = lambda space: None
    many_objectives: bool = False


def check_grid(space: Space) -> None:
    """Reject a space that a grid cannot cover.

    Raises:
        InputError: a searched variable is continuous, or there are more than `LARGEST_GRID` combinations.
    """
    values = {name: values_of(domain) for name, domain in space.searched.items()}
    count = math.prod(len(found) for found in values.values() if found is not None)
    continuous = [name for name, found in values.items() if found is None]
    if continuous:
        raise InputError(
            f"a grid needs discrete variables, but `{continuous[0]}` is continuous",
            hint=f"add a `step` to {', '.join(continuous)}; the other variables alone take {count:,} trials",
        )
    if count > LARGEST_GRID:
        raise InputError(
            f"a grid may have at most {LARGEST_GRID:,} combinations, but this one has {count:,}",
            hint="fix some variables, take larger steps, or use the sampler quasi-random",
        )


def grid_configs(space: Space, seed: int) -> Iterator[Config]:
    """Every feasible configuration of a grid once, in an order drawn from `seed`.

    Combinations that differ only in variables without an effect count as one.
    """
    names = list(space.searched)
    values = [values_of(domain) or () for domain in space.searched.values()]
    combinations = list(itertools.product(*values))
    seen = set()
    for position in np.random.default_rng(seed).permutation(len(combinations)):
        chosen = dict(zip(names, combinations[position], strict=True))
        config = space.fill(chosen.__getitem__)
        key = tuple(config.values())
        if key not in seen and not space.violated(config):
            seen.add(key)
            yield config


def check_cma_es(space: Space) -> None:
    """Reject a space in which CMA-ES has nothing to adapt.

    Raises:
        InputError: fewer than two searched variables are numbers that always have an effect.
    """
    numbers = [n for n, d in space.searched.items() if not isinstance(d, Categorical) and n not in space.when]
    if len(numbers) < 2:
        raise InputError(
            "cma-es needs two or more searched numbers without a condition, but the space has "
            + (", ".join(numbers) or "none"),
            hint="use tpe for categorical or conditional variables",
        )


SAMPLERS: dict[str, Strategy] = {
    "auto": Strategy(
        "The best of several random draws, judged by all trials and past studies; tpe if there are two objectives.",
        many_objectives=True,
    ),
    "tpe": Strategy(
        "Tree-structured Parzen estimators: learns from all trials, supports every type of variable and condition.",
        many_objectives=True,
    ),
    "random": Strategy("Independent draws.", many_objectives=True),
    "grid": Strategy(
        "Every combination once, in random order, until all are done. Continuous variables need a step.",
        check=check_grid,
        many_objectives=True,
    ),
    "quasi-random": Strategy(
        "A Sobol sequence: spreads numbers more evenly than random draws; draws categories at random; starts over "
        "on resume.",
        many_objectives=True,
    ),
    "cma-es": Strategy(
        "Covariance matrix adaptation for numbers without conditions; draws the rest at random; starts over on resume.",
        check=check_cma_es,
    ),
    "gp": Strategy(
        "Gaussian process: for few, costly trials with about ten variables; slow after hundreds of trials.",
        many_objectives=True,
    ),
    "nsga2": Strategy(
        "Genetic algorithm for several objectives; needs hundreds of trials; starts over on resume.",
        many_objectives=True,
    ),
}

SCHEDULERS: dict[str, Strategy] = {
    "asha": Strategy(
        "Asynchronous successive halving: only the best fraction continues after each rung.",
    ),
    "hyperband": Strategy(
        "Three successive halvings in parallel with later and later first rungs: safer for slow starters.",
    ),
    "median": Strategy(
        "Stops a trial whose best value is worse than the median of the others' running means.",
    ),
    "none": Strategy(
        "Every trial runs to the end.",
    ),
}
