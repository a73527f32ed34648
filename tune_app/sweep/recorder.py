"""What happens in a sweep, as Tune's controller tells it: into the store, the live state and the fuse."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ray.tune import Callback

from tune_app.ray_backend import epoch_progress
from tune_app.ray_backend.controller import SweepTrial
from tune_app.search.optuna_journal import OptunaJournal
from tune_app.spaces.objective import label_of, objective_of
from tune_app.spaces.section import Objective
from tune_app.spaces.space import Space
from tune_app.store.store import History, Row, Study, now
from tune_app.store.study_writer import StudyWriter
from tune_app.store.tensorboard_log import TensorBoardLog


class Recorder(Callback):
    """Writes each trial's start, epochs and end, and keeps the live state.

    `history` is the writer's own; it is brought up to date by the writer, before this class looks at it.
    """

    def __init__(
        self,
        study: Study,
        writer: StudyWriter,
        history: History,
        journal: OptunaJournal | None,
        tensorboard: TensorBoardLog | None,
        space: Space,
        objective: Objective,
        total: int,
        gpu_fraction: float,
    ) -> None:
        self._study = study
        self._writer, self._history, self._journal, self._tensorboard = writer, history, journal, tensorboard
        self._columns = {v.name: v.column for v in space.variables}
        self._objective = objective
        self._total = total
        self._gpu_fraction = gpu_fraction
        self._began = time.monotonic()
        self._next_question = 0.0
        self._running: dict[str, dict[str, Any]] = {}
        self._timed_out: dict[str, str] = {}
        self.states: Counter[str] = Counter(r.row["state"] for r in history.trials.values() if r.row and r.finished)
        self.failures: list[Row] = []
        self.ended = 0
        self._ended_s = 0.0
        self._latest: dict[str, Any] | None = None
        self.best: Row | None = None
        for row in history.rows():
            self._keep_best(row)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: SweepTrial, **info: Any) -> None:
        """A worker took the trial."""
        request = trial.request
        self._writer.trial_started(
            request["trial"], trial.trial_id, request["config"], request["seed"], request["attempt"]
        )
        self._running[trial.trial_id] = {
            "trial": request["trial"],
            "epoch": 0,
            "epochs": request["epochs"],
            "fraction": None,
            "started": time.monotonic(),
            "value": None,
        }

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: SweepTrial, **info: Any) -> None:
        """A worker was lost and the trial will be run again; the next worker looks for a checkpoint."""
        self._running.pop(trial.trial_id, None)
        trial.config["attempt"] += 1

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: SweepTrial, result: dict[str, Any], **info: Any
    ) -> None:
        """The trial reported one or more epochs."""
        rows = result["rows"]
        if rows:
            self._writer.epochs(rows)
            if self._tensorboard is not None:
                self._tensorboard.epochs(trial.request["trial"], rows)
            news = {"epoch": rows[-1]["epoch"], "value": objective_of(self._objective, rows[-1])}
            self._running[trial.trial_id].update(news)
            self._latest = {"trial": trial.request["trial"], **news}

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: SweepTrial, **info: Any) -> None:
        """The trial finished, was stopped by the scheduler, or reported its own failure."""
        result = trial.last_result
        if result.get("failure_kind"):
            self._end(trial, "FAILED", result["failure_kind"], result["error"])
        else:
            self._end(trial, "COMPLETED" if result["finished"] else "PRUNED")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: SweepTrial, **info: Any) -> None:
        """The trial's worker was lost for good, or killed because the trial took too long."""
        if trial.request["trial"] not in self._history.trials:  # its worker never came up
            self.on_trial_start(iteration, trials, trial)
        if trial.trial_id in self._timed_out:
            self._end(trial, "FAILED", "error", self._timed_out[trial.trial_id])
        elif trial.out_of_memory:
            self._end(trial, "FAILED", "oom", "its process was ended because the node ran out of memory")
        else:
            self._end(trial, "FAILED", "lost", f"its process or node died in each of {trial.num_failures} attempts")

    def cancel(self, trials: Sequence[SweepTrial]) -> None:
        """Record trials that are stopped unfinished."""
        for trial in trials:
            if trial.trial_id in self._running:
                self._end(trial, "CANCELLED")

    def overdue(self, limit_s: float | None) -> list[str]:
        """Ids of running trials that are older than `limit_s` seconds; each is named once."""
        if limit_s is None:
            return []
        late = [
            trial_id
            for trial_id, live in self._running.items()
            if time.monotonic() - live["started"] > limit_s and trial_id not in self._timed_out
        ]
        for trial_id in late:
            self._timed_out[trial_id] = f"took longer than the limit of {limit_s:g} s (budget.trial_time)"
        return late

    def live(self, state: str, slots: int) -> dict[str, Any]:
        """The sweep as it stands, for the terminal and for ``live.json``."""
        seconds = time.monotonic()
        self._learn_progress()
        return {
            "state": state,
            "at": now(),
            "total": self._total,
            "slots": slots,
            "trials": {**self.states, "RUNNING": len(self._running)},
            "running": [
                {key: live[key] for key in ("trial", "epoch", "epochs", "fraction", "value")}
                | {"seconds": round(seconds - live["started"], 1)}
                for live in self._running.values()
            ],
            "latest": self._latest,
            "metric": label_of(self._objective),
            "best": None if self.best is None else {"trial": self.best["trial"], "objective": self.best["objective"]},
            "elapsed_s": round(seconds - self._began, 1),
            "left_s": self._left(slots),
            "mean_duration_s": self._ended_s / self.ended if self.ended else None,
        }

    def _learn_progress(self) -> None:
        """Bring the running trials up to what their workers told since their last reports."""
        if time.monotonic() < self._next_question:
            return
        self._next_question = time.monotonic() + epoch_progress.ASK_PERIOD_S
        told = epoch_progress.read(self._study.name, [live["trial"] for live in self._running.values()])
        for live in self._running.values():
            epoch, fraction = told.get(live["trial"], (0, 0.0))
            if epoch > live["epoch"]:  # reports come in batches, so the epochs before the told one are done
                live.update(epoch=epoch - 1, fraction=fraction)
            else:
                live["fraction"] = None

    def _left(self, slots: int) -> float | None:
        """Seconds to go: the mean duration of the ended trials, pruned ones included, over the slots."""
        if not self.ended or not slots:
            return None
        mean = self._ended_s / self.ended
        open_trials = self._total - sum(self.states.values())
        spent = sum(min(mean, time.monotonic() - live["started"]) for live in self._running.values())
        return float(max(0.0, open_trials * mean - spent) / slots)

    def _end(self, trial: SweepTrial, state: str, kind: str | None = None, error: str | None = None) -> None:
        live = self._running.pop(trial.trial_id, None)
        record = self._history.trials[trial.request["trial"]]
        result = trial.last_result or {}
        # Where this attempt ended; a former one may have gone further. One that reported nothing leaves what was known.
        epochs = (live or {}).get("epoch") or max(record.epochs, default=0)
        last = record.epochs.get(epochs, {})
        ended = now()
        duration = time.monotonic() - live["started"] if live else 0.0
        row: Row = {
            "trial": record.trial,
            "trial_id": record.trial_id,
            "state": state,
            "objective": None if state == "FAILED" else objective_of(self._objective, last),
            "failure_kind": kind,
            "error": error,
            "epochs": epochs,
            "started_at": record.started_at,
            "ended_at": ended,
            "duration_s": duration,
            "node": result.get("node_ip"),
            "device": result.get("device"),
            "gpu_fraction": self._gpu_fraction,
            "peak_memory_mb": result.get("peak_memory_mb"),
            "model_parameters": result.get("model_parameters"),
            "seed": record.seed,
            "attempt": record.attempt,
            "checkpoint": result.get("checkpoint"),
            "latency_ms": result.get("latency_ms"),
            **{name: result[name] for name in ("sample",) if name in result},
            **{self._columns[name]: value for name, value in record.config.items()},
            **{name: value for name, value in last.items() if name.startswith(("metric/", "health/"))},
        }
        self._writer.trial_ended(row)
        if state in ("PRUNED", "FAILED"):  # nobody goes on from there
            self._study.folder.remove(self._study.checkpoint(record.trial))
        self.states[state] += 1
        self.ended += 1
        self._ended_s += duration
        if state == "FAILED":
            self.failures.append(row)
        if self._journal is not None and state != "CANCELLED":
            self._journal.add(record)
        if self._tensorboard is not None:
            self._tensorboard.end(record.trial, record.config)
        self._keep_best(row)

    def _keep_best(self, row: Row) -> None:
        if row["state"] != "COMPLETED":
            return
        sign = 1.0 if self._objective.direction == "maximize" else -1.0
        if self.best is None or sign * row["objective"] > sign * self.best["objective"]:
            self.best = row
