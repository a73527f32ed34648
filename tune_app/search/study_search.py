"""Where configurations come from: Optuna through Ray Tune's `OptunaSearch`, repaired where the two disagree.

What Tune's own `OptunaSearch` gets wrong, and this one does not: a trial that the scheduler stopped reaches Optuna as
COMPLETE without its reports; a failed one as COMPLETE with its last value; a NaN leaves the Optuna trial RUNNING for
ever; constraints are unknown to it.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.study import Study as OptunaStudy
from optuna.trial import FrozenTrial, TrialState
from ray.tune.search.optuna import OptunaSearch

from tune_app.spaces.objective import directions_of, objective_of, objectives_of
from tune_app.spaces.section import Objective
from tune_app.spaces.space import Space
from tune_app.spaces.strategy import SAMPLERS
from tune_app.spaces.variable import Config, Value
from tune_app.store.store import TrialRecord

optuna.logging.set_verbosity(optuna.logging.ERROR)


def make_sampler(name: str, space: Space, seed: int, trials: int) -> BaseSampler:
    """The sampler `name`, one of `tune_app.spaces.strategy.SAMPLERS`, for a sweep of `trials` trials."""
    with warnings.catch_warnings():
        # Some are called experimental; the version in the lock file is tested with them.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler: BaseSampler = SAMPLERS[name].make(space, seed, trials)
        return sampler


def make_tpe(space: Space, seed: int, trials: int) -> BaseSampler:
    """Tree-structured Parzen estimators."""
    # `group` splits the space where conditions do; without it conditional variables are sampled independently.
    return TPESampler(seed=seed, multivariate=True, group=bool(space.when), constant_liar=True)


def make_random(space: Space, seed: int, trials: int) -> BaseSampler:
    """Independent draws."""
    return RandomSampler(seed=seed)


def make_quasi_random(space: Space, seed: int, trials: int) -> BaseSampler:
    """A scrambled Sobol sequence."""
    return QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False, warn_asynchronous_seeding=False)


def make_cma_es(space: Space, seed: int, trials: int) -> BaseSampler:
    """Covariance matrix adaptation."""
    return CmaEsSampler(seed=seed, warn_independent_sampling=False, consider_pruned_trials=True)


def make_gp(space: Space, seed: int, trials: int) -> BaseSampler:
    """Gaussian process."""
    return GPSampler(seed=seed, warn_independent_sampling=False)


def make_nsga2(space: Space, seed: int, trials: int) -> BaseSampler:
    """NSGA-II, with a population that leaves some generations: Optuna's default of 50 would be one of 50 trials."""
    return NSGAIISampler(seed=seed, population_size=max(4, min(50, trials // 5)))


AVOIDED = ("diverged", "oom")
"""Failures that are the configuration's own: the sampler shall keep away from them."""


class FeasibleSampler(BaseSampler):
    """Any sampler of Optuna, made to propose only configurations that meet the constraints.

    The inner sampler proposes a whole configuration; where it breaks a constraint, only the variables that the
    constraint reads are drawn anew, and the nearest feasible configuration is taken. A random sampler gets the first
    one, so that its draws stay unbiased in those variables.
    """

    def __init__(self, inner: BaseSampler, space: Space, seed: int) -> None:
        self._inner = inner
        self._space = space
        self._distributions = space.distributions()
        self._rng = np.random.default_rng(seed)
        self._planned: tuple[int, Config] | None = None

    def infer_relative_search_space(self, study: OptunaStudy, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Nothing: every value comes from the plan, through `sample_independent`."""
        return {}

    def sample_relative(
        self, study: OptunaStudy, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Nothing, see `infer_relative_search_space`."""
        return {}

    def sample_independent(
        self, study: OptunaStudy, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The value that the plan for this trial has; the plan is made when the first value is asked for."""
        if self._planned is None or self._planned[0] != trial.number:
            self._planned = (trial.number, self._plan(study, trial))
        return self._planned[1][param_name]

    def _plan(self, study: OptunaStudy, trial: FrozenTrial) -> Config:
        relative_space = self._inner.infer_relative_search_space(study, trial)
        relative = self._inner.sample_relative(study, trial, relative_space)

        def choose(name: str) -> Value:
            if name in relative:
                return relative[name]  # type: ignore[no-any-return]
            return self._inner.sample_independent(study, trial, name, self._distributions[name])  # type: ignore[no-any-return]

        config = self._space.fill(choose)
        return self._space.repair(config, self._rng, nearest=not isinstance(self._inner, RandomSampler))

    def before_trial(self, study: OptunaStudy, trial: FrozenTrial) -> None:
        """Pass on to the inner sampler."""
        self._inner.before_trial(study, trial)

    def after_trial(self, study: OptunaStudy, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """Pass on to the inner sampler."""
        self._inner.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        """Pass on to the inner sampler."""
        self._inner.reseed_rng()


IGNORE_PRUNED = (GPSampler, NSGAIISampler)
"""Samplers of Optuna that learn from completed trials alone, which leaves next to nothing where most are pruned."""


class StudySearch(OptunaSearch):
    """Tune's `OptunaSearch` over a `Space`, told every trial as what it was.

    The Optuna study that it samples from is in memory; `remember` fills it with earlier trials on resume.
    """

    def __init__(self, space: Space, objective: Objective, sampler: BaseSampler, seed: int) -> None:
        directions = directions_of(objective)
        names = ["objective", "against"][: len(directions)]
        modes = ["max" if direction == "maximize" else "min" for direction in directions]
        super().__init__(
            space=self._suggest_all,
            metric=names if len(names) > 1 else names[0],
            mode=modes if len(modes) > 1 else modes[0],
            sampler=FeasibleSampler(sampler, space, seed),
        )
        self._objective = objective
        self._pruned_state = TrialState.COMPLETE if isinstance(sampler, IGNORE_PRUNED) else TrialState.PRUNED
        self._trial_space = space
        self._distributions = space.distributions()
        self._reports: dict[str, dict[int, float]] = {}

    def suggest(self, trial_id: str) -> Config:
        """A full configuration for a new trial; it meets every constraint."""
        self._ot_trials[trial_id] = self._ot_study.ask()
        return self._suggest_all(self._ot_trials[trial_id])

    def adopt(self, trial_id: str, config: Config) -> Config:
        """Run `config` as the next trial instead of asking the sampler."""
        self._ot_study.enqueue_trial(self._trial_space.params_of(config))
        self.suggest(trial_id)
        return config

    def remember(self, records: list[TrialRecord]) -> None:
        """Tell the sampler of trials that ended before this process began."""
        for record in records:
            trial = frozen_trial(self._trial_space, record, self._objective, AVOIDED)
            if trial.state == TrialState.PRUNED and trial.intermediate_values:
                trial.state = self._pruned_state
            self._ot_study.add_trial(trial)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Keep the reports of a running trial; the sampler learns of them when the trial ends."""
        reports = self._reports.setdefault(trial_id, {})
        values = {row["epoch"]: objective_of(self._objective, row) for row in result["rows"]}
        reports.update({epoch: value for epoch, value in values.items() if value is not None})

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell Optuna how the trial ended: COMPLETE, PRUNED with all its reports, or failed.

        A configuration that diverged or ran out of memory is told as pruned before its first report, which ranks it
        last with TPE; Optuna's samplers ignore trials told as FAIL. A sampler of `IGNORE_PRUNED` is told a pruned trial
        as complete with its last value.
        """
        if result is not None and "rows" in result:
            self.on_trial_result(trial_id, result)
        trial, reports = self._ot_trials.pop(trial_id), self._reports.pop(trial_id, {})
        kind = (result or {}).get("failure_kind")
        avoided = AVOIDED if self._objective.mode != "pareto" else ()
        if error or result is None or (kind is not None and kind not in avoided):
            self._ot_study.tell(trial, state=TrialState.FAIL)
        elif kind is not None:
            self._ot_study.tell(trial, state=TrialState.PRUNED)
        elif self._objective.mode == "pareto":  # Optuna takes no reports here, and nothing is stopped early
            self._ot_study.tell(trial, objectives_of(self._objective, {**result["rows"][-1], **result}))
        else:
            for epoch, value in sorted(reports.items()):
                trial.report(value, epoch)
            if result["finished"] or (self._pruned_state == TrialState.COMPLETE and reports):
                self._ot_study.tell(trial, reports[max(reports)])
            else:
                self._ot_study.tell(trial, state=TrialState.PRUNED)

    def _suggest_all(self, trial: optuna.Trial) -> Config:
        return self._trial_space.fill(lambda name: _suggest(trial, name, self._distributions[name]))


def _suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Value:
    if isinstance(distribution, FloatDistribution):
        return trial.suggest_float(
            name, distribution.low, distribution.high, log=distribution.log, step=distribution.step
        )
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(
            name, distribution.low, distribution.high, log=distribution.log, step=distribution.step
        )
    assert isinstance(distribution, CategoricalDistribution)
    return trial.suggest_categorical(name, distribution.choices)  # type: ignore[return-value]


def frozen_trial(space: Space, record: TrialRecord, objective: Objective, avoided: tuple[str, ...] = ()) -> FrozenTrial:
    """A trial that ended, in Optuna's form.

    Args:
        avoided: failure kinds to tell as pruned before the first report, see `StudySearch.on_trial_complete`; for
            people, who read the study in optuna-dashboard, a failure is a FAIL.
    """
    row = record.row
    assert row is not None
    pareto = objective.mode == "pareto"  # Optuna takes neither reports nor PRUNED there
    by_epoch = {epoch: objective_of(objective, row_) for epoch, row_ in record.epochs.items()}
    reports = {epoch: value for epoch, value in by_epoch.items() if value is not None and not pareto}
    state = {"COMPLETED": TrialState.COMPLETE, "PRUNED": TrialState.PRUNED}.get(row["state"], TrialState.FAIL)
    if row["failure_kind"] in avoided and not pareto:
        state, reports = TrialState.PRUNED, {}
    values: Any = None
    if state == TrialState.COMPLETE:
        values = objectives_of(objective, row) if pareto else [row["objective"]]
    if state == TrialState.PRUNED and reports:
        values = [reports[max(reports)]]
    params = space.params_of(record.config)
    distributions = space.distributions()
    failure = {"failure_kind": row["failure_kind"], "error": row["error"]} if row["failure_kind"] else {}
    trial = optuna.trial.create_trial(
        state=state,
        values=values,
        params=params,
        distributions={name: distributions[name] for name in params},
        intermediate_values=reports,
        user_attrs={"trial": record.trial, "state": row["state"], **failure},
    )
    trial.datetime_start = _moment(row["started_at"])
    trial.datetime_complete = _moment(row["ended_at"])
    return trial


def _moment(text: str) -> Any:
    from datetime import datetime

    return datetime.fromisoformat(text)
