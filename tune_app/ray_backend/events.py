"""Converts the callbacks of Ray Tune's controller to the events of `tune_app.sweep.backend`."""

from __future__ import annotations

from typing import Any

from ray.tune import Callback

from tune_app.ray_backend.controller import SweepTrial
from tune_app.sweep.backend import Ended, Event, Failure, Lost, Reported, Run, Started

FACTS = (
    *("node", "device", "resumed_from", "peak_memory_mb", "gpu_utilization", "model_parameters"),
    *("checkpoint", "latency_ms", "sample", "layers"),
)


def run_of(trial: SweepTrial) -> Run:
    """Tune's trial as the sweep's run."""
    request = trial.request
    known = {key: request[key] for key in ("trial", "config", "epochs", "seed", "attempt", "source")}
    return Run(trial_id=trial.trial_id, **known)


class EventQueue(Callback):
    """Collects the arguments of Tune's callbacks until the sweep fetches them."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def take(self) -> list[Event]:
        """The events since the last call, in order."""
        taken, self._events = self._events, []
        return taken

    def on_trial_start(self, iteration: int, trials: list[Any], trial: SweepTrial, **info: Any) -> None:
        """A worker started the trial."""
        self._events.append(Started(run_of(trial)))

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: SweepTrial, **info: Any) -> None:
        """A worker was lost and the trial will run again; the next worker looks for a checkpoint."""
        self._events.append(Lost(run_of(trial)))
        trial.config["attempt"] += 1

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: SweepTrial, result: dict[str, Any], **info: Any
    ) -> None:
        """The trial reported one or more epochs, or its own failure."""
        facts = {name: result[name] for name in FACTS if name in result}
        self._events.append(Reported(run_of(trial), result["rows"], facts))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: SweepTrial, **info: Any) -> None:
        """The trial finished, was stopped by the scheduler, or reported its own failure."""
        result = trial.last_result
        kind = result.get("failure_kind")
        failure = Failure(kind, result["error"]) if kind else None
        self._events.append(Ended(run_of(trial), bool(result["finished"]), failure))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: SweepTrial, **info: Any) -> None:
        """The trial's worker was lost for good, or killed because the trial took too long."""
        if trial.out_of_memory:
            failure = Failure("oom", "its process was killed because the node ran out of memory")
        else:
            failure = Failure("lost", f"its process or node died in each of {trial.num_failures} attempts")
        self._events.append(Ended(run_of(trial), False, failure))
