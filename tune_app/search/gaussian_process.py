"""A small Gaussian process regression on at most `MOST_POINTS` points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

MOST_POINTS = 140
"""Points used in a fit: its time grows with their cube. Half are the best ones, half are drawn from the rest."""
FIRST_TRIES, LATER_TRIES = 25, 8
"""Number of hyperparameters tried in a fit: without and with those of an earlier fit."""
COARSE_TRIES = 8
"""This many of the first tries are drawn from anywhere; the others are near the best so far."""
USUAL_DIMENSIONS = 8
"""Distances grow with the number of variables, and so do the lengths to try."""


@dataclass(frozen=True)
class Hyperparameters:
    """Attributes:
    lengths: (variables,), over which the target changes along each.
    noise: variance of the noise over that of the target.
    """

    lengths: Array
    noise: float


@dataclass(frozen=True)
class GaussianProcess:
    """A fitted process; `predict` gives its mean.

    Attributes:
        hyperparameters: the most likely ones among those tried.
    """

    hyperparameters: Hyperparameters
    columns: np.ndarray[Any, np.dtype[np.intp]]
    points: Array
    weights: Array

    @classmethod
    def fit(
        cls,
        points: Array,
        target: Array,
        columns: np.ndarray[Any, np.dtype[np.intp]],
        rng: np.random.Generator,
        former: Hyperparameters | None = None,
    ) -> GaussianProcess:
        """Fit to `target` (n,), larger is better, at `points` (n, columns).

        A Matern 5/2 kernel with a length for each variable, as usual for hyperparameters (Snoek et al. 2012); the
        lengths and the noise maximize the marginal likelihood, with a log-normal prior, among those tried.

        Args:
            columns: (columns,), the variable that each column belongs to.
            former: hyperparameters of an earlier fit, to start from.
        """
        from scipy.linalg import cho_solve

        chosen = _chosen(target, rng)
        points, target = points[chosen], target[chosen]
        target = (target - target.mean()) / max(float(target.std()), 1e-9)
        variables = int(columns.max()) + 1
        best: Hyperparameters | None = None
        most, factor = -np.inf, np.empty((0, 0))
        for number in range(FIRST_TRIES if former is None else LATER_TRIES + 1):
            anywhere = former is None and number < COARSE_TRIES
            tried = (
                former if best is None and former is not None else _drawn(variables, rng, None if anywhere else best)
            )
            likelihood, found = _likelihood(points, target, columns, tried)
            if likelihood > most:
                most, factor, most_likely = likelihood, found, tried
            if former is not None or number >= COARSE_TRIES:
                best = most_likely
        assert best is not None, "with noise the matrix of some try is positive definite"
        return cls(best, columns, points, cho_solve((factor, True), target))

    def predict(self, points: Array) -> Array:
        """The mean at `points` (n, columns), in standard deviations of the target: (n,)."""
        result: Array = _kernel(points, self.points, self.hyperparameters.lengths[self.columns]) @ self.weights
        return result


def _chosen(target: Array, rng: np.random.Generator) -> np.ndarray[Any, np.dtype[np.intp]]:
    if len(target) <= MOST_POINTS:
        return np.arange(len(target))
    order, half = np.argsort(-target, kind="stable"), MOST_POINTS // 2
    return np.concatenate([order[:half], rng.choice(order[half:], MOST_POINTS - half, replace=False)])


def _drawn(variables: int, rng: np.random.Generator, center: Hyperparameters | None) -> Hyperparameters:
    """Hyperparameters from anywhere, or near `center`."""
    scale = max(1.0, (variables / USUAL_DIMENSIONS) ** 0.5)
    if center is None:
        lengths = scale * np.exp(rng.uniform(np.log(0.2), np.log(3.0), variables))
        return Hyperparameters(lengths, float(np.exp(rng.uniform(np.log(0.02), 0.0))))
    moved = rng.normal(0.0, 0.4, variables) * (rng.random(variables) < 0.5)
    lengths = np.clip(center.lengths * np.exp(moved), 0.1, 8.0 * scale)
    return Hyperparameters(lengths, float(np.clip(center.noise * np.exp(rng.normal(0.0, 0.3)), 0.01, 2.0)))


def _likelihood(
    points: Array, target: Array, columns: np.ndarray[Any, np.dtype[np.intp]], tried: Hyperparameters
) -> tuple[float, Array]:
    """The logarithm of the marginal likelihood times the prior, and the Cholesky factor; -inf if there is none."""
    from scipy.linalg import solve_triangular

    kernel = _kernel(points, points, tried.lengths[columns])
    kernel[np.diag_indices(len(points))] += tried.noise
    try:
        factor = np.asarray(np.linalg.cholesky(kernel), dtype=np.float64)
    except np.linalg.LinAlgError:
        return -np.inf, kernel
    whitened = solve_triangular(factor, target, lower=True, check_finite=False)
    prior = -0.1 * float((np.log(tried.lengths) ** 2).sum())
    likelihood = -0.5 * float(whitened @ whitened) - float(np.log(np.diag(factor)).sum())
    return likelihood + prior, factor


def _kernel(left: Array, right: Array, lengths: Array) -> Array:
    left, right = left / lengths, right / lengths
    squares = (left * left).sum(1)[:, None] + (right * right).sum(1)[None] - 2.0 * left @ right.T
    distance = np.sqrt(5.0 * np.maximum(squares, 0.0))
    result: Array = (1.0 + distance + distance * distance / 3.0) * np.exp(-distance)
    return result
