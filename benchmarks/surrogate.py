"""Learning curves of every configuration of a space, predicted from those of a few hundred trained at random.

Two Gaussian processes with a Matérn 5/2 kernel and a length scale per variable (Rasmussen and Williams, Gaussian
Processes for Machine Learning, 2006, chapters 2 and 5). One predicts the first principal components of the curves, on a
scale without bounds: the logarithm of a loss, the log odds of an error. The other predicts the time of a training.
Random forests and boosted trees predict these curves worse, and they flatten the best and the worst; see README.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from tune_app.spaces.space import Space
from tune_app.spaces.variable import Categorical, Config
from tune_app.sweep.replay import Array

COMPONENTS = 4
SCALE_ROWS = 300
"""The length scales are fitted on this many rows: more take long and changed nothing."""
LEVELS = 10
"""The noise is measured at this many heights of the curves."""
WHOLE_CURVE = 1.5
"""How much a seed shifts a whole curve, in standard deviations of its noise from epoch to epoch; see README.md for the
trainings with other seeds that it comes from."""


@dataclass(frozen=True)
class Prediction:
    """A configuration's curve.

    Attributes:
        values: (epochs,), without noise; NaN from the epoch at which it diverges.
        noisy: (epochs,), the same with the noise of one seed.
        ends: (epochs,), seconds from the start of the training to the end of each epoch.
    """

    values: Array
    noisy: Array
    ends: Array


class Surrogate:
    """Curves of a space, learned from those of some of its configurations.

    Args:
        values: (configurations, epochs), an error between 0 and 1 if `share`, else a loss above 0; NaN from the epoch
            at which a training diverged.
        seconds: (configurations, epochs), cumulative.
    """

    def __init__(self, space: Space, configs: list[Config], values: Array, seconds: Array, share: bool) -> None:
        self._space, self._share = space, share
        self._points = np.array([encode(space, config) for config in configs])
        self._floor = np.diff(np.unique(values[np.isfinite(values)])).min() / 2  # an error of 0 has log odds
        self._diverged = ~np.isfinite(values)
        whole = ~self._diverged.any(1)
        curves = self._unbounded(values[whole])
        self._mean = curves.mean(0)
        self._components = np.linalg.svd(curves - self._mean, full_matrices=False)[2][:COMPONENTS]
        self._process = Process(self._points[whole], (curves - self._mean) @ self._components.T)
        self._levels, self._noise = noise_by_level(curves)
        self._clock = Process(self._points[whole], np.log(seconds[whole, -1:]))
        self._pace = np.median(seconds[whole] / seconds[whole, -1:], axis=0)

    def predict(self, config: Config, normal: Array) -> Prediction:
        """The curve of `config`; a configuration diverges as the nearest one of the table does.

        Args:
            normal: (1 + epochs,) standard normal numbers: the seed's shift of the whole curve, and the noise of each
                epoch.
        """
        point = encode(self._space, config)
        curve = self._mean + self._process(point) @ self._components
        noise = (WHOLE_CURVE * normal[0] + normal[1:]) * np.interp(curve, self._levels, self._noise)
        gone = self._diverged[self._process.nearest(self._points, point)]
        values, noisy = (np.where(gone, np.nan, self._bounded(c)) for c in (curve, curve + noise))
        return Prediction(values, noisy, self._pace * np.exp(self._clock(point)))

    def _unbounded(self, values: Array) -> Array:
        return np.log((values + self._floor) / (1 - values + self._floor)) if self._share else np.log(values)

    def _bounded(self, curve: Array) -> Array:
        """The inverse of `_unbounded`."""
        if not self._share:
            return np.exp(curve)
        odds = np.exp(curve)
        errors: Array = np.clip((odds * (1 + self._floor) - self._floor) / (1 + odds), 0.0, 1.0)
        return errors


class Process:
    """A Gaussian process for several targets that share the length scales and have their own noise.

    Args:
        points: (rows, features).
        targets: (rows, targets).
    """

    def __init__(self, points: Array, targets: Array) -> None:
        self._mean, self._spread = targets.mean(0), targets.std(0)
        standard = (targets - self._mean) / self._spread
        self._scales, noise = fit_scales(points[:SCALE_ROWS], standard[:SCALE_ROWS])
        self._scaled = points / self._scales
        distances = ((self._scaled[:, None, :] - self._scaled[None, :, :]) ** 2).sum(-1)
        values, vectors = np.linalg.eigh(matern(distances)[0])
        self._weights = vectors @ ((vectors.T @ standard) / (np.maximum(values, 0)[:, None] + noise))

    def __call__(self, point: Array) -> Array:
        """(targets,), the mean of the process at `point`."""
        kernel = matern(((self._scaled - point / self._scales) ** 2).sum(1))[0]
        mean: Array = self._mean + self._spread * (kernel @ self._weights)
        return mean

    def nearest(self, points: Array, point: Array) -> int:
        """The row of `points` nearest to `point` in the length scales."""
        return int((((points - point) / self._scales) ** 2).sum(1).argmin())


def fit_scales(points: Array, targets: Array) -> tuple[Array, Array]:
    """The length scale of each feature and the noise of each target that make the targets likeliest.

    The variance of each target follows from these. The logarithm of a length scale has a normal prior around 1.
    """
    rows, features = points.shape
    squares = ((points[:, None, :] - points[None, :, :]) ** 2).reshape(rows * rows, features)

    def loss(theta: Array) -> tuple[float, Array]:
        inverse, noise = np.exp(-2 * theta[:features]), np.exp(theta[features:])
        kernel, slope = matern((squares @ inverse).reshape(rows, rows))
        values, vectors = np.linalg.eigh(kernel)
        spectrum = np.maximum(values, 0)[:, None] + noise
        turned = vectors.T @ targets
        variance = (turned**2 / spectrum).mean(0)
        weights = vectors @ (turned / spectrum)
        inner = (vectors * (1 / spectrum).sum(1)) @ vectors.T - (weights / variance) @ weights.T
        by_scale = -squares.T @ (inner * slope).ravel() * inverse + theta[:features] - 1
        by_noise = ((1 / spectrum).sum(0) - (weights**2).sum(0) / variance) * noise / 2
        likelihood = (rows * np.log(variance)).sum() / 2 + np.log(spectrum).sum() / 2
        return likelihood + ((theta[:features] - 1) ** 2).sum() / 2, np.concatenate([by_scale, by_noise])

    count = targets.shape[1]
    start = np.concatenate([np.ones(features), np.full(count, -2.0)])
    bounds = [(-2.5, 5.0)] * features + [(-9.0, 2.0)] * count
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 40}).x
    return np.exp(found[:features]), np.exp(found[features:])


def matern(squares: Array) -> tuple[Array, Array]:
    """The Matérn 5/2 kernel of squared distances, and its derivative by them."""
    root = np.sqrt(5 * squares)
    decay = np.exp(-root)
    return (1 + root + root**2 / 3) * decay, -5 / 6 * (1 + root) * decay


def noise_by_level(curves: Array) -> tuple[Array, Array]:
    """Heights of curves, rising, and the standard deviation of the noise from epoch to epoch at each.

    Third differences of a curve have 20 times the variance of the noise where it bends evenly, so only the second
    half of the epochs counts.
    """
    late = curves[:, curves.shape[1] // 2 - 1 :]
    gaps = np.abs(np.diff(late, 3, axis=1)).ravel()
    heights = np.lib.stride_tricks.sliding_window_view(late, 4, axis=1).mean(-1).ravel()
    parts = np.array_split(np.argsort(heights), LEVELS)
    deviations = [gaps[part].mean() * np.sqrt(np.pi / 2 / 20) for part in parts]
    return np.array([heights[part].mean() for part in parts]), np.array(deviations)


def encode(space: Space, config: Config) -> Array:
    """A configuration as numbers from 0 to 1: one for each choice, and 0.5 for a number that has no effect."""
    features: list[float] = []
    for name, domain in space.searched.items():
        active, value = space.active(name, config), config[name]
        if isinstance(domain, Categorical):
            features += [float(active and value == choice) for choice in domain.choices]
        elif not active:
            features.append(0.5)
        elif domain.log:
            features.append(np.log(float(value) / domain.low) / np.log(domain.high / domain.low))
        else:
            features.append((float(value) - domain.low) / (domain.high - domain.low))
    return np.array(features)
