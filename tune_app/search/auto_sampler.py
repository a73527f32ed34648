"""The sampler `auto`: the best of a few random draws, by what all trials so far have shown.

Unlike Optuna's samplers it learns from trials that still run and from those that were stopped as much as from those
that completed: each has one score, the share of the others that it beats at the last epoch that both have reached. It
only ever chooses among random draws. What looks good after an epoch may not be good at the end, and a sampler that
goes on refining it misses what is; chosen among a few draws, the configurations stay as varied as random ones.
`benchmarks/search.py` measures it; docs/search.md has the figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import numpy as np
from optuna.study import Study as OptunaStudy
from optuna.trial import FrozenTrial

from tune_app.search.gaussian_process import Array, GaussianProcess, Hyperparameters
from tune_app.search.planned_sampler import PlannedSampler
from tune_app.search.win_rate import win_rates
from tune_app.spaces.feasibility import sample_some
from tune_app.spaces.space import Space
from tune_app.spaces.variable import Categorical, Config

RANDOM_SHARE = 0.2
"""Share of the configurations that are plain random draws: they would find what the model is wrong about."""
DRAWS = 16
"""Random draws of which the model's best one is taken."""
WARM_UP = 16
"""Random configurations before the first choice, or a quarter of the sweep's if that is less."""
LEAST_SCORES = 8
"""Trials with a score that a model needs."""
TRIES = 300
"""Draws after which fewer are enough, where constraints refuse most: some ten milliseconds."""
NEW_TRIES = 50
"""Feasible draws after which a configuration that was tried already is taken again: there may be no other."""
WEIGHTS = (1.0, 2.0)
"""Of the model of all trials, and of that of the trials that were trained beyond the first rung: these know more of
the end, and on tasks whose first epochs mislead they alone are right."""
FLOORS = (0.7, 0.0)
"""For each of the two, in standard deviations: worse scores count as this one, for where it is bad, how
bad does not matter."""
GROWTH = 0.05
"""A model is fitted again when there are so many more scores, and four at least."""


class AutoSampler(PlannedSampler):
    """Proposes feasible configurations that were not tried yet; the same seed proposes the same after the same trials.

    It hears of trials as they go, and learns from each report.
    """

    def __init__(self, space: Space, seed: int, trials: int) -> None:
        self._space, self._seed = space, seed
        self._warm_up = min(WARM_UP, max(LEAST_SCORES, trials // 4))
        self._columns = _columns(space)
        self._points: list[Array] = []
        self._tried: set[tuple[Any, ...]] = set()
        self._curves: dict[int, Array] = {}
        self._models: list[tuple[float, GaussianProcess]] = []
        self._former: dict[int, Hyperparameters] = {}
        self._fit_at = LEAST_SCORES

    def begin(self, number: int, config: Config) -> None:
        """See `PlannedSampler`."""
        assert number == len(self._points), "trials are numbered one after another"
        self._points.append(encode(self._space, config))
        self._tried.add(self._key(config))

    def report(self, number: int, gains: Mapping[int, float]) -> None:
        """See `PlannedSampler`."""
        if gains:
            curve = np.full(max(gains), np.nan)
            curve[np.fromiter(gains, int) - 1] = np.fromiter(gains.values(), float)
            self._curves[number] = curve

    def fail(self, number: int) -> None:
        """See `PlannedSampler`."""
        self._curves[number] = np.empty(0)

    def forget(self, number: int) -> None:
        """See `PlannedSampler`."""
        self._curves.pop(number, None)

    def plan(self, study: OptunaStudy, trial: FrozenTrial) -> Config:
        """The model's best of a few random draws, or a random draw."""
        number = trial.number
        # A generator for each trial, so that a resumed sweep does not draw what was drawn before.
        rng = np.random.default_rng([self._seed, number])
        if number < self._warm_up or len(self._curves) < LEAST_SCORES or rng.random() < RANDOM_SHARE:
            return self._draw(rng, 1)[0]
        drawn = self._draw(rng, DRAWS)
        points = np.array([encode(self._space, config) for config in drawn])
        with one_thread():
            if len(self._curves) >= self._fit_at or not self._models:
                self._fit(rng)
            # Ranks: the models' scales differ.
            votes = sum(weight * np.argsort(np.argsort(model.predict(points))) for weight, model in self._models)
        return drawn[int(np.argmax(votes))]

    def _draw(self, rng: np.random.Generator, count: int) -> list[Config]:
        """Up to `count` configurations that were not tried yet, if there are any."""
        for _ in range(NEW_TRIES):
            drawn = sample_some(self._space, rng, count, TRIES)
            if new := [config for config in drawn if self._key(config) not in self._tried]:
                return new
        return drawn

    def _key(self, config: Config) -> tuple[Any, ...]:
        return tuple(config[name] for name in self._space.order)

    def _fit(self, rng: np.random.Generator) -> None:
        numbers = sorted(self._curves)
        curves = [self._curves[number] for number in numbers]
        points = np.array([self._points[number] for number in numbers])
        rates, lengths = win_rates(curves, rng), np.array([len(curve) for curve in curves])
        first = min((length for length in lengths if length), default=0)
        self._models = []
        for level, among in enumerate((np.full(len(curves), True), lengths > first)):
            if among.sum() < LEAST_SCORES:
                continue
            target = np.maximum(_normal_scores(rates[among]), FLOORS[level])
            model = GaussianProcess.fit(points[among], target, self._columns, rng, self._former.get(level))
            self._former[level] = model.hyperparameters
            self._models.append((WEIGHTS[level], model))
        self._fit_at = len(curves) + max(4, int(GROWTH * len(curves)))


def one_thread() -> AbstractContextManager[Any]:
    """Within it numpy's and scipy's linear algebra keeps to one thread.

    The matrices are small: where trials keep all cores busy, several threads took four times as long as one.
    """
    limited: AbstractContextManager[Any] = _thread_pools().limit(limits=1, user_api="blas")
    return limited


@cache
def _thread_pools() -> Any:
    import scipy.linalg  # noqa: F401  # its pool counts too
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def encode(space: Space, config: Config) -> Array:
    """A configuration as a point: a column per number, 0 to 1; a column per choice, so that any two are 1 apart.

    What has no effect stands in the middle of a range, and has none of the choices.
    """
    columns: list[float] = []
    for name in space.order:
        domain, active = space.searched[name], space.active(name, config)
        if isinstance(domain, Categorical):
            columns += [0.5**0.5 if active and config[name] == choice else 0.0 for choice in domain.choices]
        elif domain.high == domain.low or not active:
            columns.append(0.5)
        else:
            low, high, value = float(domain.low), float(domain.high), float(config[name])
            if domain.log:
                low, high, value = float(np.log(low)), float(np.log(high)), float(np.log(value))
            columns.append((value - low) / (high - low))
    return np.array(columns)


def _columns(space: Space) -> np.ndarray[Any, np.dtype[np.intp]]:
    """The variable that each column of `encode` belongs to."""
    found: list[int] = []
    for position, name in enumerate(space.order):
        domain = space.searched[name]
        found += [position] * (len(domain.choices) if isinstance(domain, Categorical) else 1)
    return np.array(found, dtype=np.intp)


def _normal_scores(rates: Array) -> Array:
    """The quantiles of the normal distribution that belong to the ranks."""
    from scipy.special import ndtri

    scores: Array = ndtri((np.argsort(np.argsort(rates, kind="stable")) + 0.5) / len(rates))
    return scores
