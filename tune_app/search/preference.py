"""Which configurations are preferable, learned from trials: a Gaussian process for each level of progress."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from tune_app.search.encoding import Array, Positions
from tune_app.search.gaussian_process import GaussianProcess
from tune_app.search.win_rate import win_rates

LEAST_SCORES = 8
"""Number of scored trials that a model needs."""
BEYOND = (-1, 1, 4)
"""The levels: all trials, also those that diverged; those that got beyond epoch 1; those that got beyond epoch 4.
These are the first rungs of `normal`."""
WEIGHTS = (1.0, 2.0, 2.0)
"""Weights of the models of the levels. The trials that got further know more about the end, and on tasks with
misleading first epochs only they are right."""
FLOORS = (0.7, 0.0, 0.0)
"""For each level, in standard deviations: worse scores count as this one, because it does not matter how bad a bad
region is."""


@dataclass(frozen=True)
class Level:
    """The trials that got beyond an epoch of `BEYOND`.

    Attributes:
        trials: (n,), their positions among all trials.
        scores: (n,), larger is better; only the order counts.
    """

    trials: Positions
    scores: Array


def levels_of(curves: Sequence[Array], rng: np.random.Generator) -> list[Level]:
    """The levels with at least `LEAST_SCORES` trials, each scored by the win rates among its own trials.

    Among all trials, most comparisons would be with those that were stopped early, so at an early epoch.

    Args:
        curves: the reports of each trial, see `win_rate.win_rates`.
    """
    epochs = np.array([len(curve) for curve in curves])
    among = [np.flatnonzero(epochs > beyond) for beyond in BEYOND]
    return [
        Level(trials, win_rates([curves[int(trial)] for trial in trials], rng))
        for trials in among
        if len(trials) >= LEAST_SCORES
    ]


@dataclass(frozen=True)
class Preference:
    """A model of each level.

    Attributes:
        models: by level; the last ones are missing until enough trials got that far.
    """

    models: tuple[GaussianProcess, ...]

    @classmethod
    def fit(
        cls,
        points: Array,
        levels: Sequence[Level],
        variables: Positions,
        rng: np.random.Generator,
        former: Preference | None = None,
    ) -> Preference:
        """Fit to the trials of each level.

        Args:
            points: (trials, columns), see `encoding.encode`.
            levels: at least the first.
            variables: (columns,), see `encoding.variables_of`.
            former: an earlier fit whose hyperparameters to start from.
        """
        models: list[GaussianProcess] = []
        with one_thread():
            for place, level in enumerate(levels):
                target = np.maximum(_normal_scores(level.scores), FLOORS[place])
                known = former.models[place].hyperparameters if former and place < len(former.models) else None
                models.append(GaussianProcess.fit(points[level.trials], target, variables, rng, known))
        return cls(tuple(models))

    def expected(self, points: Array) -> Array:
        """The prediction at `points` (n, columns), in standard deviations of the scores: (n,)."""
        with one_thread():
            means = [model.predict(points) for model in self.models]
        found: Array = np.average(means, axis=0, weights=WEIGHTS[: len(means)])
        return found

    def votes(self, points: Array) -> Array:
        """How preferable each of `points` (n, columns) is among them: (n,), 0 to 1.

        Uses ranks, because the scales of the models differ.
        """
        with one_thread():
            ranks = [np.argsort(np.argsort(model.predict(points))) for model in self.models]
        voted: Array = np.average(ranks, axis=0, weights=WEIGHTS[: len(ranks)]) / max(1, len(points) - 1)
        return voted


def one_thread() -> AbstractContextManager[Any]:
    """Limit numpy's and scipy's linear algebra to one thread.

    The matrices are small: when trials keep all cores busy, several threads took four times as long as one.
    """
    limited: AbstractContextManager[Any] = _thread_pools().limit(limits=1, user_api="blas")
    return limited


@cache
def _thread_pools() -> Any:
    import scipy.linalg  # noqa: F401  # its pool counts too
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _normal_scores(scores: Array) -> Array:
    """The normal quantiles of the ranks."""
    from scipy.special import ndtri

    found: Array = ndtri((np.argsort(np.argsort(scores, kind="stable")) + 0.5) / len(scores))
    return found
