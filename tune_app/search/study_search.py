"""Where configurations come from: Optuna through Ray Tune's `OptunaSearch`, repaired where the two disagree.

What Tune's own `OptunaSearch` gets wrong, and this one does not: a trial that the scheduler stopped reaches Optuna as
COMPLETE without its reports; a failed one as COMPLETE with its last value; a NaN leaves the Optuna trial RUNNING for
ever; constraints are unknown to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import TrialState
from ray.tune.search.optuna import OptunaSearch

from tune_app.search.auto_sampler import AutoSampler
from tune_app.search.feasible_sampler import FeasibleSampler
from tune_app.search.frozen_trial import AVOIDED, frozen_trial
from tune_app.search.samplers import IGNORE_PRUNED
from tune_app.spaces.objective import directions_of, objective_of, objectives_of
from tune_app.spaces.section import Objective
from tune_app.spaces.space import Space
from tune_app.spaces.variable import Config, Value
from tune_app.store.event_log import TrialRecord

optuna.logging.set_verbosity(optuna.logging.ERROR)


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
        self._auto = sampler if isinstance(sampler, AutoSampler) else None
        self._sign = 1.0 if objective.direction == "maximize" else -1.0
        self._pruned_state = TrialState.COMPLETE if isinstance(sampler, IGNORE_PRUNED) else TrialState.PRUNED
        self._trial_space = space
        self._distributions = space.distributions()
        self._reports: dict[str, dict[int, float]] = {}

    def suggest(self, trial_id: str) -> Config:
        """A full configuration for a new trial; it meets every constraint."""
        trial = self._ot_trials[trial_id] = self._ot_study.ask()
        config = self._suggest_all(trial)
        if self._auto is not None:
            self._auto.begin(trial.number, config)
        return config

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
            if self._auto is not None:
                number = len(self._ot_study.get_trials(deepcopy=False))
                self._auto.begin(number, record.config)
                self._tell_auto(number, trial.intermediate_values, record.row.failure_kind if record.row else None)
            self._ot_study.add_trial(trial)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Keep the reports of a running trial; the sampler learns of them when the trial ends."""
        reports = self._reports.setdefault(trial_id, {})
        values = {row["epoch"]: objective_of(self._objective, row) for row in result["rows"]}
        reports.update({epoch: value for epoch, value in values.items() if value is not None})
        if self._auto is not None:
            self._tell_auto(self._ot_trials[trial_id].number, reports, None)

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
        if self._auto is not None and (error or result is None or kind is not None):
            self._tell_auto(trial.number, {}, kind or "error")
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

    def _tell_auto(self, number: int, reports: Mapping[int, float], failure_kind: str | None) -> None:
        """Tell the sampler `auto` of a trial while it runs; Optuna's are told when it has ended."""
        assert self._auto is not None
        if failure_kind is None:
            self._auto.report(number, {epoch: self._sign * value for epoch, value in reports.items()})
        elif failure_kind in AVOIDED:
            self._auto.fail(number)
        else:
            self._auto.forget(number)

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
