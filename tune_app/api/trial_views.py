"""Trials and epochs as JSON documents, from the event log; their order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from tune_app.errors import InputError, nearest
from tune_app.jobs.job import Job
from tune_app.spaces.objective import objective_of, rank
from tune_app.spaces.section import Objective
from tune_app.spaces.variable import GROUPS
from tune_app.store.columns import Row, family
from tune_app.store.event_log import History, TrialRecord
from tune_app.store.study import Study
from tune_app.store.trial_row import TrialRow, TrialState

ROW_KEYS = (
    "objective", "failure_kind", "error", "ended_at", "duration_s", "node", "device", "gpu_fraction",
    "gpu_utilization", "peak_memory_mb", "model_parameters", "latency_ms", "resumed_from",
)  # fmt: skip
SORTS = (
    "rank", "trial", "state", "objective", "epochs", "started_at", "ended_at", "duration_s", "gpu_utilization",
    "peak_memory_mb", "model_parameters", "latency_ms",
)  # fmt: skip
"""Sort keys of trials, besides ``metrics.NAME`` and ``health.NAME``."""


def trials_of(history: History, job: Job, study: Study) -> list[TrialRecord]:
    """The trials of a job's study, by number.

    Trials that had not ended when the job's process died are CANCELLED, as after an interrupt: nothing trains them,
    and `resume` runs them again.
    """
    found = [history.trials[number] for number in sorted(history.trials)]
    if not job.ended or all(record.row for record in found) or study.being_written():
        return found
    why = f"the sweep's process ended before the trial did; `tune-app resume {study.name}` runs it again"
    return [record if record.row else _cancelled(record, str(job.ended_at), why) for record in found]


def _cancelled(record: TrialRecord, ended_at: str, why: str) -> TrialRecord:
    last = _last(record)
    ended_at = max(ended_at, record.started_at)
    took = datetime.fromisoformat(ended_at) - datetime.fromisoformat(record.started_at)
    row = TrialRow(
        trial=record.trial,
        trial_id=record.trial_id,
        state=TrialState.CANCELLED,
        epochs=max(record.epochs, default=0),
        started_at=record.started_at,
        ended_at=ended_at,
        duration_s=took.total_seconds(),
        seed=record.seed,
        attempt=record.attempt,
        error=why,
        families={name: value for name, value in last.items() if name.startswith(("metric/", "health/"))},
    )
    return replace(record, row=row)


def trial_view(record: TrialRecord, columns: Sequence[str], objective: Objective, seeded: bool) -> dict[str, Any]:
    """One trial; if it has not ended, with what is known so far.

    Args:
        columns: of the configuration, ``config/<group>/<variable>``, in their order.
        seeded: whether it uses its seed, which is optional for a script.
    """
    running = record.row is None
    row = _last(record)
    by_group: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
    for _, group, name in (column.split("/", 2) for column in columns):
        if name in record.config:
            by_group[group][name] = record.config[name]
    return {
        "trial": record.trial,
        "trial_id": record.trial_id,
        "state": _state(record),
        **{key: None if running else row.get(key) for key in ROW_KEYS},
        "objective": objective_of(objective, row) if running and row else row.get("objective"),
        "epochs": max(record.epochs, default=0) if running else row["epochs"],
        "started_at": record.started_at,
        "seed": record.seed if seeded else None,
        "attempt": record.attempt,
        "source": record.source,
        "configuration": by_group,
        "metrics": family(row, "metric"),
        "health": family(row, "health"),
    }


def epoch_view(row: Row) -> dict[str, Any]:
    """One epoch."""
    facts = {key: row[key] for key in ("epoch", "ended_at", "duration_s")}
    return {**facts, "metrics": family(row, "metric"), "health": family(row, "health")}


def chosen(
    trials: Sequence[TrialRecord], states: Sequence[str], sort: str, descending: bool, objective: Objective
) -> list[TrialRecord]:
    """The trials in `states` (all if empty) in the requested order; those without a sort value come last.

    ``rank`` is the leaderboard order: completed trials first, best first, then the others by number.

    Raises:
        InputError: they cannot be sorted by that.
    """
    _check_sort(trials, sort)
    found = [record for record in trials if not states or _state(record) in states]
    keyed = [(_key(record, sort, objective), record) for record in sorted(found, key=lambda record: record.trial)]
    present = sorted((k for k in keyed if k[0] is not None), key=lambda k: k[0], reverse=descending)
    return [record for _, record in present] + [record for key, record in keyed if key is None]


def _check_sort(trials: Sequence[TrialRecord], sort: str) -> None:
    if sort in SORTS:
        return
    figures = {
        key.replace("metric/", "metrics.").replace("health/", "health.")
        for record in trials
        for key in _last(record)
        if key.startswith(("metric/", "health/"))
    }
    # Before the first epoch, the metrics are unknown.
    if sort not in figures and (figures or not sort.startswith(("metrics.", "health."))):
        valid = [*SORTS, *figures]
        raise InputError(
            f"trials cannot be sorted by `{sort:.100}`", where="query.sort", hint=nearest(sort, valid, limit=len(SORTS))
        )


def _state(record: TrialRecord) -> str:
    return str(TrialState.RUNNING if record.row is None else record.row.state)


def _last(record: TrialRecord) -> Row:
    """The row of the trial, or of its last epoch if it has not ended."""
    if record.row is not None:
        return record.row.to_columns()
    return record.epochs.get(max(record.epochs, default=0), {})


def _key(record: TrialRecord, sort: str, objective: Objective) -> Any:
    match sort:
        case "rank":
            if record.row is None or record.row.state != TrialState.COMPLETED:
                return (1, 0.0, record.trial)
            value = math.nan if record.row.objective is None else record.row.objective
            return (0, *rank(objective.direction, value, record.trial))
        case "trial" | "started_at":
            return getattr(record, sort)
        case "state":
            return _state(record)
        case "epochs":
            return max(record.epochs, default=0)
        case "objective" if record.row is None:
            row = _last(record)
            return objective_of(objective, row) if row else None
    group, _, name = sort.partition(".")
    column = f"{'metric' if group == 'metrics' else group}/{name}" if name else sort
    if record.row is None:
        return _last(record).get(column)
    return record.row.families.get(column) if name else getattr(record.row, column)
