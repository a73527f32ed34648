"""Samplers by the names that search spaces use: our own, and Optuna's."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler
from optuna.study import Study as OptunaStudy
from optuna.trial import FrozenTrial

from tune_app.search.auto_sampler import AutoSampler
from tune_app.search.feasible_sampler import FeasibleSampler
from tune_app.search.past_study import PastPreference
from tune_app.search.planned_sampler import PlannedSampler
from tune_app.spaces.space import Space


def make_tpe(space: Space, seed: int, trials: int) -> BaseSampler:
    """Tree-structured Parzen estimators."""
    # `group` splits the space by conditions; without it, conditional variables are sampled independently.
    return TPESampler(seed=seed, multivariate=True, group=bool(space.when), constant_liar=True)


def make_random(space: Space, seed: int, trials: int) -> BaseSampler:
    """Independent draws."""
    return RandomSampler(seed=seed)


def make_quasi_random(space: Space, seed: int, trials: int) -> BaseSampler:
    """A scrambled Sobol sequence."""
    return QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False, warn_asynchronous_seeding=False)


class _UnconditionalCmaEs(CmaEsSampler):
    """Only adapts the variables without a condition.

    Optuna's adapts those that all completed trials have, but also learns from pruned ones, and fails if one of these
    lacks a variable.
    """

    def __init__(self, space: Space, seed: int) -> None:
        super().__init__(seed=seed, warn_independent_sampling=False, consider_pruned_trials=True)
        self._conditional = frozenset(space.when)

    def infer_relative_search_space(self, study: OptunaStudy, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        found = super().infer_relative_search_space(study, trial)
        return {name: distribution for name, distribution in found.items() if name not in self._conditional}


def make_cma_es(space: Space, seed: int, trials: int) -> BaseSampler:
    """Covariance matrix adaptation."""
    return _UnconditionalCmaEs(space, seed)


def make_gp(space: Space, seed: int, trials: int) -> BaseSampler:
    """Gaussian process."""
    return GPSampler(seed=seed, warn_independent_sampling=False)


def make_nsga2(space: Space, seed: int, trials: int) -> BaseSampler:
    """NSGA-II with a population small enough for several generations: Optuna's default is 50 trials per generation."""
    return NSGAIISampler(seed=seed, population_size=max(4, min(50, trials // 5)))


MAKERS: dict[str, Callable[[Space, int, int], BaseSampler]] = {
    "tpe": make_tpe,
    "random": make_random,
    "grid": make_random,  # every trial of a grid has its configuration; the sampler is never used
    "quasi-random": make_quasi_random,
    "cma-es": make_cma_es,
    "gp": make_gp,
    "nsga2": make_nsga2,
}
"""The factory of each sampler of `tune_app.spaces.strategy.SAMPLERS` but `auto`, from space, seed and trials."""


def make_sampler(
    name: str,
    space: Space,
    seed: int,
    trials: int,
    epochs: int,
    objectives: int = 1,
    past: Sequence[PastPreference] = (),
) -> PlannedSampler:
    """The sampler `name` for a sweep of `trials` trials of `epochs` epochs; for several objectives `auto` is tpe.

    Args:
        past: preferences of past studies, for `auto`.
    """
    if name == "auto" and objectives == 1:
        return AutoSampler(space, seed, trials, epochs, past)
    with warnings.catch_warnings():
        # Optuna calls some of them experimental; our tests cover the version in the lock file.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return FeasibleSampler(MAKERS["tpe" if name == "auto" else name](space, seed, trials), space, seed)
