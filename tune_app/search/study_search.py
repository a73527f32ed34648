"""Proposes configurations: Optuna through Ray Tune's `OptunaSearch`, fixed where the two disagree.

Bugs of Tune's own `OptunaSearch` that this one fixes: a trial stopped by the scheduler reaches Optuna as COMPLETE
without its reports; a failed one as COMPLETE with its last value; a NaN leaves the Optuna trial RUNNING forever; it
does not know constraints.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from ray.tune.search.optuna import OptunaSearch

from tune_app.search.frozen_trial import AVOIDED, frozen_trial
from tune_app.search.planned_sampler import PlannedSampler
from tune_app.spaces.objective import directions_of, objective_of, objectives_of
from tune_app.spaces.section import Objective
from tune_app.spaces.space import Space
from tune_app.spaces.variable import Config, Value
from tune_app.store.event_log import TrialRecord
from tune_app.store.trial_row import Source

optuna.logging.set_verbosity(optuna.logging.ERROR)


@dataclass
class Suggestions:
    """How many configurations the sampler suggested since this process started, and how many seconds it took."""

    count: int = 0
    seconds: float = 0.0


class StudySearch(OptunaSearch):
    """Tune's `OptunaSearch` over a `Space`, with accurate trial results.

    The Optuna study that it samples from is in memory; `remember` adds earlier trials on resume.

    Attributes:
        suggestions: their number and cost so far.
    """

    def __init__(self, space: Space, objective: Objective, sampler: PlannedSampler) -> None:
        directions = directions_of(objective)
        names = ["objective", "against"][: len(directions)]
        modes = ["max" if direction == "maximize" else "min" for direction in directions]
        super().__init__(
            space=self._suggest_all,
            metric=names if len(names) > 1 else names[0],
            mode=modes if len(modes) > 1 else modes[0],
            sampler=sampler,
        )
        self.suggestions = Suggestions()
        self._objective = objective
        self._sampler = sampler
        self._sign = 1.0 if objective.direction == "maximize" else -1.0
        self._pruned_state = TrialState.PRUNED if sampler.learns_from_pruned else TrialState.COMPLETE
        self._trial_space = space
        self._distributions = space.distributions()
        self._reports: dict[str, dict[int, float]] = {}

    def suggest(self, trial_id: str) -> Config:
        """A full configuration for a new trial; it satisfies every constraint."""
        began = time.perf_counter()
        config = self._begin(trial_id)
        self.suggestions.count += 1
        self.suggestions.seconds += time.perf_counter() - began
        return config

    def _begin(self, trial_id: str) -> Config:
        trial = self._ot_trials[trial_id] = self._ot_study.ask()
        config = self._suggest_all(trial)
        self._sampler.begin(trial.number, config)
        return config

    @property
    def source(self) -> Source:
        """The source of the last suggested configuration."""
        return self._sampler.source

    def adopt(self, trial_id: str, config: Config) -> Config:
        """Run `config` as the next trial instead of asking the sampler."""
        self._ot_study.enqueue_trial(self._trial_space.params_of(config))
        self._begin(trial_id)
        return config

    def remember(self, records: list[TrialRecord]) -> None:
        """Add trials that ended before this process started."""
        for record in records:
            trial = frozen_trial(self._trial_space, record, self._objective, AVOIDED)
            if trial.state == TrialState.PRUNED and trial.intermediate_values:
                trial.state = self._pruned_state
            number = len(self._ot_study.get_trials(deepcopy=False))
            self._sampler.begin(number, record.config)
            self._tell_now(number, trial.intermediate_values, record.row.failure_kind if record.row else None)
            self._ot_study.add_trial(trial)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Keep the reports of a running trial; the Optuna study gets them when the trial ends."""
        reports = self._reports.setdefault(trial_id, {})
        values = {row["epoch"]: objective_of(self._objective, row) for row in result["rows"]}
        reports.update({epoch: value for epoch, value in values.items() if value is not None})
        self._tell_now(self._ot_trials[trial_id].number, reports, None)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Report to Optuna how the trial ended: COMPLETE, PRUNED with all its reports, or failed.

        A configuration that diverged or ran out of memory is reported as pruned before its first report, which TPE
        ranks last; Optuna's samplers ignore FAIL. For a sampler that ignores pruned trials, they are reported as
        complete with their last value.
        """
        if result is not None and "rows" in result:
            self.on_trial_result(trial_id, result)
        trial, reports = self._ot_trials.pop(trial_id), self._reports.pop(trial_id, {})
        kind = (result or {}).get("failure_kind")
        if error or result is None or kind is not None:
            self._tell_now(trial.number, {}, kind or "error")
        avoided = AVOIDED if self._objective.mode != "pareto" else ()
        if error or result is None or (kind is not None and kind not in avoided):
            self._ot_study.tell(trial, state=TrialState.FAIL)
        elif kind is not None:
            self._ot_study.tell(trial, state=TrialState.PRUNED)
        elif self._objective.mode == "pareto":  # Optuna accepts no reports here, and nothing stops early
            self._ot_study.tell(trial, objectives_of(self._objective, {**result["rows"][-1], **result}))
        else:
            for epoch, value in sorted(reports.items()):
                trial.report(value, epoch)
            if result["finished"] or (self._pruned_state == TrialState.COMPLETE and reports):
                self._ot_study.tell(trial, reports[max(reports)])
            else:
                self._ot_study.tell(trial, state=TrialState.PRUNED)

    def _tell_now(self, number: int, reports: Mapping[int, float], failure_kind: str | None) -> None:
        """Update the sampler immediately; the Optuna study gets a trial when it has ended."""
        if failure_kind is None:
            self._sampler.report(number, {epoch: self._sign * value for epoch, value in reports.items()})
        elif failure_kind in AVOIDED:
            self._sampler.fail(number)
        else:
            self._sampler.forget(number)

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
