"""A finished study as curves that can be replayed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tune_app.errors import InputError
from tune_app.search.frozen_trial import AVOIDED
from tune_app.spaces.objective import label_of, objective_of, rank
from tune_app.spaces.section import Objective
from tune_app.spaces.spec import Spec
from tune_app.spaces.variable import Config
from tune_app.store.event_log import TrialRecord
from tune_app.store.study import Study
from tune_app.store.trial_row import TrialRow, TrialState
from tune_app.sweep.replay import Curve
from tune_app.sweep.requests import requests_of


@dataclass(frozen=True)
class RecordedTrial:
    """A trial of the replayed study.

    Attributes:
        curve: its last value is NaN if it failed because of its configuration.
    """

    trial: int
    config: Config
    curve: Curve


@dataclass(frozen=True)
class RecordedStudy:
    """A finished study that ran without pruning.

    Attributes:
        spec: as it was run.
        objective: the one number of the curves.
        trials: by number; at least one of them completed.
        left_out: how many trials failed for other reasons than their configuration.
        workers: how many trials ran in parallel.
    """

    spec: Spec
    objective: Objective
    trials: tuple[RecordedTrial, ...]
    left_out: int
    workers: int

    @property
    def epochs(self) -> int:
        """The epochs of all its trials together."""
        return sum(len(recorded.curve.values) for recorded in self.trials)

    @property
    def best(self) -> RecordedTrial:
        """The best of its trials."""
        completed = [recorded for recorded in self.trials if np.isfinite(recorded.curve.truth)]
        return min(completed, key=lambda found: rank(self.objective.direction, found.curve.truth, found.trial))

    def place(self, value: float) -> int:
        """The rank of a trial that ended with `value` among the completed ones, from 1; equal ones share a rank."""
        sign = -1.0 if self.objective.direction == "maximize" else 1.0
        return 1 + sum(sign * recorded.curve.truth < sign * value for recorded in self.trials)


def read_study(study: Study) -> RecordedStudy:
    """Read the curves of a study.

    Raises:
        InputError: it has not ended, some trials were pruned, none completed, or its objective is not a single figure
            that every epoch has.
    """
    spec, where = study.spec(), study.folder.path(study.base)
    if spec.objective.mode == "pareto":
        raise InputError(
            f"a replay ranks trials by one number, but the objective of `{study.name}` has two: "
            f"{spec.objective.metric} and {spec.objective.against}",
            where=where,
            hint="mode pareto never stops a trial early, so pruning has no effect",
        )
    history = study.history()
    ended = [(record, record.row) for _, record in sorted(history.trials.items()) if record.row is not None]
    _check_whole(study, [row for _, row in ended], where)
    if left := len(requests_of(spec, history, ())):
        raise InputError(
            f"a replay needs a finished study, but `{study.name}` has {left} of {spec.budget.trials} trials left",
            where=where,
            hint="it is running: wait until it ends"
            if study.being_written()
            else f"`tune-app resume {study.name}` continues it",
        )
    trials = tuple(_recorded(record, row, spec.objective, where) for record, row in ended if _is_usable(row))
    objective = Objective(metric=label_of(spec.objective), direction=spec.objective.direction)
    workers = int(study.json("live.json").get("slots") or 1)
    return RecordedStudy(spec, objective, trials, len(ended) - len(trials), workers)


def _check_whole(study: Study, ended: list[TrialRow], where: str) -> None:
    """Reject a study with trials that stopped early, or without completed trials."""
    if pruned := sum(row.state == TrialState.PRUNED for row in ended):
        raise InputError(
            f"a replay needs complete learning curves, but `{study.name}` pruned {pruned} of {len(ended)} trials, and "
            "nobody knows how they would have continued",
            where=where,
            hint="run the same space with `--pruning off` under another name, and replay that study",
        )
    if ended and not any(row.state == TrialState.COMPLETED for row in ended):
        raise InputError(
            f"a replay needs a completed trial, but no trial of `{study.name}` completed",
            where=where,
            hint=f"`tune-app trials {study.name}` shows what happened",
        )


def _is_usable(row: TrialRow) -> bool:
    return row.state == TrialState.COMPLETED or row.failure_kind in AVOIDED


def _recorded(record: TrialRecord, row: TrialRow, objective: Objective, where: str) -> RecordedTrial:
    """The curve of an ended trial; a failed one has an additional epoch, in which it failed."""
    told = [record.epochs.get(epoch, {}) for epoch in range(1, row.epochs + 1)]
    values = [objective_of(objective, epoch) for epoch in told]
    if None in values:
        raise InputError(
            f"a replay needs the {label_of(objective)} of every epoch, but trial {record.trial} has none after epoch "
            f"{values.index(None) + 1}",
            where=where,
            hint="replay a study whose metric (and, with mode health, health) is known from the first epoch on",
        )
    ends = np.cumsum([float(epoch["duration_s"]) for epoch in told])
    if row.state != TrialState.COMPLETED:
        values = [*values, np.nan]
        ends = np.append(ends, max(row.duration_s, *ends[-1:], 0.0))
    curve = np.array(values, dtype=float)
    return RecordedTrial(record.trial, record.config, Curve(curve, ends, float(curve[-1])))
