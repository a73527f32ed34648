"""Which configurations are preferable, learned from trials: a pair of Gaussian processes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from tune_app.search.encoding import Array, Positions
from tune_app.search.gaussian_process import GaussianProcess

LEAST_SCORES = 8
"""Number of scored trials that a model needs."""
WEIGHTS = (1.0, 2.0)
"""Weights of the model of all trials and of the model of trials past the first rung: the latter know more about the
end, and on tasks with misleading first epochs only they are right."""
FLOORS = (0.7, 0.0)
"""For each of the two, in standard deviations: worse scores count as this one, because it does not matter how bad a
bad region is."""


@dataclass(frozen=True)
class Preference:
    """A model of all trials, and one of those that went beyond the first rung.

    Attributes:
        models: by level; the second is missing until enough trials got that far.
    """

    models: tuple[GaussianProcess, ...]

    @classmethod
    def fit(
        cls,
        points: Array,
        scores: Array,
        epochs: Positions,
        variables: Positions,
        rng: np.random.Generator,
        former: Preference | None = None,
    ) -> Preference:
        """Fit to `LEAST_SCORES` trials or more.

        Args:
            points: (trials, columns), see `encoding.encode`.
            scores: (trials,), larger is better; only the order counts.
            epochs: (trials,), trained epochs; 0 for a trial that diverged.
            variables: (columns,), see `encoding.variables_of`.
            former: an earlier fit whose hyperparameters to start from.
        """
        first = min((count for count in epochs if count), default=0)
        models: list[GaussianProcess] = []
        with one_thread():
            for level, among in enumerate((np.full(len(scores), True), epochs > first)):
                if among.sum() < LEAST_SCORES:
                    break
                target = np.maximum(_normal_scores(scores[among]), FLOORS[level])
                known = former.models[level].hyperparameters if former and level < len(former.models) else None
                models.append(GaussianProcess.fit(points[among], target, variables, rng, known))
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
