"""A finished study of the same task, from which a new one learns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tune_app.errors import InputError
from tune_app.search.encoding import Array, encode, variables_of
from tune_app.search.preference import BEYOND, LEAST_SCORES, Level, Preference
from tune_app.search.win_rate import win_rates
from tune_app.spaces.space import Space
from tune_app.spaces.variable import Config

MOST_TRIALS = 300
"""Number of trials to keep from a study: half of them its best, half drawn from the rest."""
MOST_CANDIDATES = 32
"""Number of best trials from which to choose a portfolio; a third of the trials if that is less."""


@dataclass(frozen=True)
class PastStudy:
    """The stored part of a study, enough to start another one from it without the store.

    Attributes:
        name: its name for users.
        configs: of its trials, the best one first; every variable of the task.
        scores: (trials,), the fraction of the others that each trial beat, 0 to 1.
        epochs: (trials,), trained epochs; 0 for a trial that diverged or ran out of memory.
    """

    name: str
    configs: tuple[Config, ...]
    scores: tuple[float, ...]
    epochs: tuple[int, ...]

    @classmethod
    def of(cls, name: str, trials: Sequence[tuple[Config, Array]]) -> PastStudy | None:
        """The results of trials: configurations, and the reports after epochs 1, 2, …, larger is better.

        None if there are too few to learn from.
        """
        if len(trials) < LEAST_SCORES:
            return None
        rng = np.random.default_rng(0)
        scores = _scores([curve for _, curve in trials], rng)
        order, half = np.argsort(-scores, kind="stable"), MOST_TRIALS // 2
        if len(trials) > MOST_TRIALS:
            order = np.concatenate([order[:half], np.sort(rng.choice(order[half:], MOST_TRIALS - half, replace=False))])
            order = order[np.argsort(-scores[order], kind="stable")]
        return cls(
            name,
            tuple(trials[position][0] for position in order),
            tuple(round(float(scores[position]), 4) for position in order),
            tuple(len(trials[position][1]) for position in order),
        )

    @property
    def sha256(self) -> str:
        """Hash of everything except the name."""
        kept = {key: value for key, value in self.to_dict().items() if key != "name"}
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()

    @property
    def reference(self) -> dict[str, str]:
        """Its name and hash, for the record of a study that started from it."""
        return {"name": self.name, "sha256": self.sha256}

    def to_dict(self) -> dict[str, Any]:
        """The study as plain values; `from_dict` restores an equal one."""
        variables = list(self.configs[0])
        return {
            "name": self.name,
            "variables": variables,
            "trials": [
                [[config[name] for name in variables], score, epochs]
                for config, score, epochs in zip(self.configs, self.scores, self.epochs, strict=True)
            ],
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], where: str) -> PastStudy:
        """Read what `to_dict` wrote.

        Raises:
            InputError: it is not one.
        """
        try:
            names, trials = document["variables"], document["trials"]
            return cls(
                str(document["name"]),
                tuple(dict(zip(names, values, strict=True)) for values, _, _ in trials),
                tuple(float(score) for _, score, _ in trials),
                tuple(int(epochs) for _, _, epochs in trials),
            )
        except (LookupError, TypeError, ValueError) as error:
            problem = f"{type(error).__name__}: {error}"
            raise InputError(f"the history of a study must be unchanged, but {problem}", where=where) from error


def _scores(curves: Sequence[Array], rng: np.random.Generator) -> Array:
    """Win rates; those of the longest-trained trials are reassigned among them by their final values."""
    scores = win_rates(curves, rng)
    lengths = np.array([len(curve) for curve in curves])
    longest = np.flatnonzero(lengths == lengths.max())
    if lengths.max():
        ends = np.nan_to_num([curves[int(position)][-1] for position in longest], nan=-np.inf)
        scores[longest[np.argsort(ends, kind="stable")]] = np.sort(scores[longest])
    return scores


@dataclass(frozen=True)
class PastPreference:
    """The preferences of a past study in the space of the new one.

    Attributes:
        study: its stored part.
        best: its best configurations within the space, best first.
    """

    study: PastStudy
    best: tuple[Config, ...]
    preference: Preference

    @classmethod
    def fit(cls, past: PastStudy, space: Space) -> PastPreference:
        """Fitted to all of its trials: those outside the space are informative near its edges."""
        known = [{**space.unsearched, **config} for config in past.configs]
        points = encode(space, known)
        scores, epochs = np.array(past.scores), np.array(past.epochs, dtype=np.intp)
        among = [np.flatnonzero(epochs > beyond) for beyond in BEYOND]
        levels = [Level(trials, scores[trials]) for trials in among if len(trials) >= LEAST_SCORES]
        preference = Preference.fit(points, levels, variables_of(space), np.random.default_rng(0))
        best = known[: min(MOST_CANDIDATES, len(known) // 3)]
        fitting = tuple(fitted for config in best if (fitted := space.fitted(config)) is not None)
        return cls(past, fitting, preference)
