"""The sampler `auto`: the best of several random draws, judged by all trials so far.

Unlike Optuna's samplers, it learns as much from running and stopped trials as from completed ones: each has one score,
the fraction of other trials that it beats at the last epoch both have reached. It only chooses among random draws: few
at first, more as trials get further. A configuration that looks good after one epoch may not be good at the end, and a
sampler that keeps refining it misses better ones; picked from a few draws, the configurations stay as varied as random
ones. `benchmarks/search.py` measures
it; docs/search.md has the figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.study import Study as OptunaStudy
from optuna.trial import FrozenTrial

from tune_app.search.encoding import Array, encode, variables_of
from tune_app.search.past_study import PastPreference
from tune_app.search.planned_sampler import PlannedSampler
from tune_app.search.preference import BEYOND, LEAST_SCORES, Preference, levels_of
from tune_app.spaces.feasibility import sample_some
from tune_app.spaces.space import Space
from tune_app.spaces.variable import Config

RANDOM_SHARE = 0.2
"""Fraction of configurations that are plain random draws, which can find what the model gets wrong."""
DRAWS = (64, 16, 4)
"""Number of random draws from which the model picks the best: if it knows about the end, from the last of the levels
that a trial can reach (`preference.BEYOND`); if only from the level before; if only from the first of three."""
DRAWS_WITH_HISTORY = 32
"""At least this many while past studies have a vote."""
WARM_UP = 16
"""Random configurations before the first choice, or a quarter of the sweep's if that is less."""
HISTORY_WEIGHT = 2.0
"""Initial weight, relative to this study's own model, of past studies that rank all trials as this one does."""
HISTORY_FADES = 64
"""Number of trials after which the weight of past studies has halved."""
MOST_JUDGED = 512
"""Maximum number of trials by which past studies are judged."""
TRIES = 300
"""Number of draws after which fewer candidates are enough, if constraints reject most: about ten milliseconds."""
NEW_TRIES = 50
"""Number of feasible draws after which an already tried configuration is accepted: there may be no other."""
GROWTH = 0.05
"""A model is refit when the number of scores has grown by this fraction, but by at least four."""


class AutoSampler(PlannedSampler):
    """Proposes feasible, untried configurations; the same seed proposes the same ones after the same trials.

    It follows running trials and learns from each report.
    """

    def __init__(self, space: Space, seed: int, trials: int, epochs: int, past: Sequence[PastPreference] = ()) -> None:
        self._space, self._seed, self._past = space, seed, past
        self._warm_up = min(WARM_UP, max(LEAST_SCORES, trials // 4))
        self._levels = sum(epochs > beyond for beyond in BEYOND)
        self._variables = variables_of(space)
        self._points: list[Array] = []
        self._tried: set[tuple[Any, ...]] = set()
        self._curves: dict[int, Array] = {}
        self._own: Preference | None = None
        self._trust = np.ones(len(past))
        self._fit_at = LEAST_SCORES

    def begin(self, number: int, config: Config) -> None:
        """See `PlannedSampler`."""
        assert number == len(self._points), "trials are numbered one after another"
        self._points.append(encode(self._space, [config])[0])
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
        """The best of several random draws, or a plain random draw."""
        # One generator per trial, so that a resumed sweep does not repeat earlier draws.
        rng = np.random.default_rng([self._seed, trial.number])
        if len(self._curves) >= self._fit_at and (self._past or trial.number >= self._warm_up):
            self._fit(rng)
        own = self._own if trial.number >= self._warm_up else None
        trusted = float(self._trust.max(initial=0.0))
        if (own is None and not trusted) or rng.random() < RANDOM_SHARE:
            self.source = "random"
            return self._draw(rng, 1)[0]
        self.source = "model"
        draws = DRAWS[self._levels - len(own.models)] if own else 0
        drawn = self._draw(rng, max(draws, DRAWS_WITH_HISTORY if trusted else 0))
        points = encode(self._space, drawn)
        votes = own.votes(points) if own else np.zeros(len(drawn))
        if trusted:
            told = sum(trust * one.preference.votes(points) for trust, one in zip(self._trust, self._past, strict=True))
            fading = HISTORY_FADES / (HISTORY_FADES + len(self._curves))
            votes = votes + HISTORY_WEIGHT * trusted * fading * told / self._trust.sum()
        return drawn[int(np.argmax(votes))]

    def _draw(self, rng: np.random.Generator, count: int) -> list[Config]:
        """Up to `count` untried configurations, if there are any."""
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
        levels = levels_of(curves, rng)
        self._own = Preference.fit(points, levels, self._variables, rng, self._own)
        self._trust = self._judge(points, levels[0].scores, rng)
        self._fit_at = len(curves) + max(4, int(GROWTH * len(curves)))

    def _judge(self, points: Array, scores: Array, rng: np.random.Generator) -> Array:
        """The weight of each past study: the rank correlation of its preferences with the trials' results.

        Minus what chance alone could produce: a misleading history loses its vote once a few trials have reported.
        """
        if not self._past:
            return self._trust
        some = rng.choice(len(scores), min(len(scores), MOST_JUDGED), replace=False)
        found = [_rank_correlation(one.preference.votes(points[some]), scores[some]) for one in self._past]
        judged: Array = np.maximum(0.0, np.array(found) - 1.0 / np.sqrt(len(some)))
        return judged


def _rank_correlation(left: Array, right: Array) -> float:
    """Kendall's tau: importing scipy.stats for it would delay the sweep by half a second."""
    agree = np.sign(left[:, None] - left) * np.sign(right[:, None] - right)
    return float(agree.sum() / max(1, len(left) * (len(left) - 1)))
