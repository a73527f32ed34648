"""Any Optuna sampler, restricted to configurations that satisfy a space's constraints."""

from __future__ import annotations

from typing import Any

import numpy as np
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler
from optuna.study import Study as OptunaStudy
from optuna.trial import FrozenTrial, TrialState

from tune_app.search.planned_sampler import PlannedSampler
from tune_app.spaces.feasibility import CANDIDATES, repair
from tune_app.spaces.space import Space
from tune_app.spaces.variable import Config, Value

IGNORE_PRUNED = (GPSampler, NSGAIISampler)
"""Optuna samplers that only learn from completed trials, which are few if most trials are pruned."""

STARTING = (TPESampler, GPSampler)
"""Optuna samplers that draw at random until they know `STARTUP` trials."""
STARTUP = 10
"""Optuna's default for both."""
TOLD = (TrialState.COMPLETE, TrialState.PRUNED)


class FeasibleSampler(PlannedSampler):
    """Any Optuna sampler, restricted to configurations that satisfy the constraints.

    The inner sampler proposes a complete configuration; if it breaks a constraint, only the constraint's variables are
    redrawn, and the nearest feasible configuration is used. A random sampler gets the first one, so that its draws stay
    unbiased in those variables.
    """

    def __init__(self, inner: BaseSampler, space: Space, seed: int) -> None:
        self._inner = inner
        self._space = space
        self._distributions = space.distributions()
        self._rng = np.random.default_rng(seed)
        self.learns_from_pruned = not isinstance(inner, IGNORE_PRUNED)
        self.source = "random" if isinstance(inner, (RandomSampler, QMCSampler, *STARTING)) else "model"
        self._starting = isinstance(inner, STARTING)

    def plan(self, study: OptunaStudy, trial: FrozenTrial) -> Config:
        """The inner sampler's proposal, or the feasible configuration nearest to it."""
        if self._starting and len(study.get_trials(deepcopy=False, states=TOLD)) >= STARTUP:
            self.source, self._starting = "model", False
        relative_space = self._inner.infer_relative_search_space(study, trial)
        relative = self._inner.sample_relative(study, trial, relative_space)

        def choose(name: str) -> Value:
            if name in relative:
                return relative[name]  # type: ignore[no-any-return]
            return self._inner.sample_independent(study, trial, name, self._distributions[name])  # type: ignore[no-any-return]

        config = self._space.fill(choose)
        candidates = 1 if isinstance(self._inner, RandomSampler) else CANDIDATES
        return repair(self._space, config, self._rng, candidates)

    def before_trial(self, study: OptunaStudy, trial: FrozenTrial) -> None:
        """Pass on to the inner sampler."""
        self._inner.before_trial(study, trial)

    def after_trial(self, study: OptunaStudy, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """Pass on to the inner sampler."""
        self._inner.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        """Pass on to the inner sampler."""
        self._inner.reseed_rng()
