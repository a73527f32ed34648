"""Which configurations are liked better, by what trials have shown: a pair of Gaussian processes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from tune_app.search.encoding import Array, Positions
from tune_app.search.gaussian_process import GaussianProcess

LEAST_SCORES = 8
"""Trials with a score that a model needs."""
WEIGHTS = (1.0, 2.0)
"""Of the model of all trials, and of that of the trials that were trained beyond the first rung: these know more of
the end, and on tasks whose first epochs mislead they alone are right."""
FLOORS = (0.7, 0.0)
"""For each of the two, in standard deviations: worse scores count as this one, for where it is bad, how
bad does not matter."""


@dataclass(frozen=True)
class Preference:
    """A model of all trials, and one of those that went beyond the first rung.

    Attributes:
        models: by level; the second is absent while too few trials went so far.
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
            scores: (trials,), larger is better; only their order counts.
            epochs: (trials,), how far each was trained; 0 for one that diverged.
            variables: (columns,), see `encoding.variables_of`.
            former: of an earlier fit, to begin with its hyperparameters.
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
        """What is expected at `points` (n, columns), in standard deviations of the scores: (n,)."""
        with one_thread():
            means = [model.predict(points) for model in self.models]
        found: Array = np.average(means, axis=0, weights=WEIGHTS[: len(means)])
        return found

    def votes(self, points: Array) -> Array:
        """How well each of `points` (n, columns) is liked among them: (n,), 0 to 1.

        Ranks, for the scales of the models differ.
        """
        with one_thread():
            ranks = [np.argsort(np.argsort(model.predict(points))) for model in self.models]
        voted: Array = np.average(ranks, axis=0, weights=WEIGHTS[: len(ranks)]) / max(1, len(points) - 1)
        return voted


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


def _normal_scores(scores: Array) -> Array:
    """The quantiles of the normal distribution that belong to the ranks."""
    from scipy.special import ndtri

    found: Array = ndtri((np.argsort(np.argsort(scores, kind="stable")) + 0.5) / len(scores))
    return found
