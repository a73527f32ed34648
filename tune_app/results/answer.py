"""The summary of a study: which trial won, by how much, at what cost, and which variables mattered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tune_app.results.importance import associations
from tune_app.results.review import config_of, ranked
from tune_app.spaces.objective import objective_of
from tune_app.spaces.spec import Spec, epochs_of
from tune_app.spaces.variable import Value
from tune_app.store.trial_row import TrialState

LAST_EPOCHS = 5
"""Number of epochs at the end of the winner's training used for the spread."""
LEAST_EPOCHS = 4
"""Minimum epochs for the spread: of three, only one has a neighbor on each side."""
TELLING = 4
"""Maximum number of variables to list."""


@dataclass(frozen=True)
class Cost:
    """The cost of the trials.

    Attributes:
        states: trials by state.
        epochs, saved: epochs trained, and epochs that pruned trials would still have trained.
        device_s: GPU seconds, in proportion to the share; core seconds if the trials had no GPU.
        device: what the trials ran on, ``CPU`` or ``GPU``; None if both, or unknown.
        gpu_utilization: percentage of the trials' time in which their GPU was busy; None if unknown.
    """

    states: Mapping[str, int]
    epochs: int
    saved: int
    device_s: float
    device: str | None
    gpu_utilization: float | None


@dataclass(frozen=True)
class Answer:
    """The key facts about a study.

    Attributes:
        trial: the winner.
        value: its objective.
        spread: standard deviation of its objective over its last `LAST_EPOCHS` epochs around their trend, without which
            a lead means little; None if fewer than `LEAST_EPOCHS` are known.
        first: the first trial that completed, which is the task's defaults in most studies; None if it won.
        gain: by how much the winner is better than that one, in the objective's unit, 0 or more.
        runner_up: the second-best trial; None if only one completed.
        lead: by how much the winner is better than that one.
        variables: the searched variables most associated with the order of the trials, beyond chance, and the winner's
            values; empty if chance explains everything.
    """

    trial: int
    value: float
    spread: float | None
    first: int | None
    gain: float | None
    runner_up: int | None
    lead: float | None
    variables: Mapping[str, Value]


def cost_of(spec: Spec, trials: pd.DataFrame) -> Cost:
    """The cost of these trials of the study."""
    devices = {"CPU" if name == "cpu" else "GPU" for name in trials["device"].dropna()}
    return Cost(
        states={str(state): int(count) for state, count in trials["state"].value_counts().items()},
        epochs=int(trials["epochs"].sum()),
        saved=_saved(spec, trials),
        device_s=_device_seconds(spec, trials),
        device=next(iter(devices)) if len(devices) == 1 else None,
        gpu_utilization=_gpu_utilization(trials),
    )


def answer_of(spec: Spec, trials: pd.DataFrame, epochs: pd.DataFrame) -> Answer | None:
    """The answer of a study; None if no trial completed.

    Args:
        trials: all of its trials.
        epochs: all of its epochs.
    """
    order = ranked(trials, spec.objective.direction)
    completed = order[order["state"] == TrialState.COMPLETED]
    if completed.empty:
        return None
    best, others = completed.iloc[0], completed.iloc[1:]
    second = others.iloc[0] if len(others) else None
    earliest = completed.sort_values("trial").iloc[0]
    first = None if earliest["trial"] == best["trial"] else earliest

    def ahead_of(other: pd.Series[Any] | None) -> float | None:
        return None if other is None else abs(float(best["objective"]) - float(other["objective"]))

    config = config_of(best, spec.space.variables)
    found = associations(spec, trials)
    telling = [name for name, one in found.items() if one.clear and spec.space.active(name, config)]
    return Answer(
        trial=int(best["trial"]),
        value=float(best["objective"]),
        spread=_spread(spec, epochs[epochs["trial"] == best["trial"]]),
        first=None if first is None else int(first["trial"]),
        gain=ahead_of(first),
        runner_up=None if second is None else int(second["trial"]),
        lead=ahead_of(second),
        variables={name: config[name] for name in telling[:TELLING]},
    )


def _spread(spec: Spec, epochs: pd.DataFrame) -> float | None:
    """See `Answer.spread`: by how far each epoch is from the line between its neighbors.

    Gasser, Sroka and Jennen-Steinmetz (1986), "Residual variance and residual pattern in nonlinear regression",
    Biometrika 73: a steady climb adds nothing, and a bent one little.
    """
    last = epochs.sort_values("epoch").tail(LAST_EPOCHS)
    rows: list[dict[str, Any]] = [{str(k): v for k, v in row.items()} for row in last.to_dict(orient="records")]
    values = pd.Series([objective_of(spec.objective, row) for row in rows], index=last["epoch"], dtype=float).dropna()
    if len(values) < LEAST_EPOCHS:
        return None
    at, heights = values.index.to_numpy(float), values.to_numpy()
    before = (at[2:] - at[1:-1]) / (at[2:] - at[:-2])
    after = 1 - before
    residuals = before * heights[:-2] + after * heights[2:] - heights[1:-1]
    return float(np.sqrt((residuals**2 / (before**2 + after**2 + 1)).mean()))


def _saved(spec: Spec, trials: pd.DataFrame) -> int:
    """Epochs that the pruned trials did not train."""
    pruned = trials[trials["state"] == TrialState.PRUNED]
    column = next((v.column for v in spec.space.variables if v.name == "epochs"), None)
    planned = pruned[column] if column in pruned else epochs_of({}, spec.budget.epochs)
    return int((planned - pruned["epochs"]).clip(lower=0).sum())


def _device_seconds(spec: Spec, trials: pd.DataFrame) -> float:
    """Durations times each trial's GPUs or share of one, or its cores if it had none."""
    gpus = trials["gpu_fraction"].astype(float).fillna(0.0)
    shares = gpus.where(gpus > 0, spec.resources.cpus * spec.resources.devices)
    return float((trials["duration_s"] * shares).sum())


def _gpu_utilization(trials: pd.DataFrame) -> float | None:
    """Mean over the trials, weighted by duration."""
    if "gpu_utilization" not in trials:  # a study from before the column existed
        return None
    known = trials[trials["gpu_utilization"].notna() & (trials["duration_s"] > 0)]
    seconds = known["duration_s"].astype(float)
    return float((known["gpu_utilization"] * seconds).sum() / seconds.sum()) if len(known) else None
