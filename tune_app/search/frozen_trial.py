"""A trial that ended, in Optuna's form."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from tune_app.spaces.objective import objective_of, objectives_of
from tune_app.spaces.section import Objective
from tune_app.spaces.space import Space
from tune_app.store.event_log import TrialRecord
from tune_app.store.trial_row import TrialState

AVOIDED = ("diverged", "oom")
"""Failures caused by the configuration: the sampler should avoid it."""

ENDS = {TrialState.COMPLETED: OptunaState.COMPLETE, TrialState.PRUNED: OptunaState.PRUNED}


def frozen_trial(space: Space, record: TrialRecord, objective: Objective, avoided: tuple[str, ...] = ()) -> FrozenTrial:
    """A trial that ended, in Optuna's form.

    Args:
        avoided: failure kinds to report as pruned before the first report, see `StudySearch.on_trial_complete`; for
            users of optuna-dashboard, a failure is a FAIL.
    """
    row = record.row
    assert row is not None
    pareto = objective.mode == "pareto"  # Optuna accepts neither reports nor PRUNED there
    by_epoch = {epoch: objective_of(objective, row_) for epoch, row_ in record.epochs.items()}
    reports = {epoch: value for epoch, value in by_epoch.items() if value is not None and not pareto}
    state = ENDS.get(row.state, OptunaState.FAIL)
    if row.failure_kind in avoided and not pareto:
        state, reports = OptunaState.PRUNED, {}
    values: Any = None
    if state == OptunaState.COMPLETE:
        values = objectives_of(objective, row.to_columns()) if pareto else [row.objective]
    if state == OptunaState.PRUNED and reports:
        values = [reports[max(reports)]]
    params = space.params_of(record.config)
    distributions = space.distributions()
    failure = {"failure_kind": row.failure_kind, "error": row.error} if row.failure_kind else {}
    trial = optuna.trial.create_trial(
        state=state,
        values=values,
        params=params,
        distributions={name: distributions[name] for name in params},
        intermediate_values=reports,
        user_attrs={"trial": record.trial, "state": str(row.state), **failure},
    )
    trial.datetime_start = datetime.fromisoformat(row.started_at)
    trial.datetime_complete = datetime.fromisoformat(row.ended_at)
    return trial
