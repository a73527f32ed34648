"""Records what happens in a sweep, event by event, in the store, the live state and the fuse."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tune_app.moment import now
from tune_app.search.study_search import Suggestions
from tune_app.spaces.objective import label_of, objective_of, rank
from tune_app.spaces.spec import Spec
from tune_app.store.best_layers import write_best_layers
from tune_app.store.columns import Row
from tune_app.store.trial_row import TrialRow, TrialState
from tune_app.sweep.backend import Backend, Ended, Event, Failure, Lost, Reported, Run, Started
from tune_app.sweep.kept import Kept
from tune_app.sweep.study_files import StudyFiles

PROGRESS_PERIOD_S = 0.1
"""How often to ask the backend for the progress of running trials."""


@dataclass
class _Live:
    """A trial in training.

    Attributes:
        started: when a process started it.
        training: when its training began, if known.
    """

    run: Run
    started: float
    training: float | None = None
    epoch: int = 0
    fraction: float | None = None
    value: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


class Recorder:
    """Writes each trial's start, epochs and end, and keeps the live state.

    Attributes:
        states: how many trials of the study are in which end state.
        failures: rows of the trials that failed in this run of the sweep, in the order in which they ended.
        ended: how many trials ended in this run.
        best: row of the best completed trial.
        total: planned number of trials in the study.
        changes: how many change requests since the study began the sweep has seen.
        answer: the result of the last one.
        concurrent: how many trials to run at once; None for as many as fit.
    """

    def __init__(self, files: StudyFiles, spec: Spec, backend: Backend, suggestions: Suggestions) -> None:
        self._files, self._backend, self._suggestions = files, backend, suggestions
        self._history = files.history
        self._columns = {v.name: v.column for v in spec.space.variables}
        self._objective = spec.objective
        self.total = spec.budget.trials
        self.changes = 0
        self.answer: str | None = None
        self.concurrent = spec.resources.most
        self._seeded = spec.catalog.script is None or bool(spec.catalog.script.seed)
        self._gpu_fraction = float(spec.resources.gpus) * spec.resources.devices
        self._began = time.monotonic()
        self._next_question = 0.0
        self._running: dict[str, _Live] = {}
        self._timed_out: dict[str, str] = {}
        self._former_facts: dict[str, Mapping[str, Any]] = {}
        ended = [record.row for record in self._history.trials.values() if record.row and record.finished]
        self.states: Counter[str] = Counter(str(row.state) for row in ended)
        self.failures: list[TrialRow] = []
        self.ended = 0
        self._ended_s = 0.0
        self._latest: dict[str, Any] | None = None
        self.best: TrialRow | None = None
        self._layers: Sequence[Mapping[str, Any]] = ()
        rows = self._history.rows()
        for row in rows:
            self._keep_best(row)
        self._with_board = Kept(self._objective.direction, rows)
        self._with_checkpoint = Kept(self._objective.direction, (row for row in rows if row.checkpoint is not None))

    def take(self, event: Event) -> None:
        """Record one event of the backend."""
        match event:
            case Started(run):
                self._start(run)
            case Reported(run, rows, facts):
                self._report(run, rows, facts)
            case Lost(run):
                live = self._running.pop(run.trial_id, None)
                self._former_facts[run.trial_id] = live.facts if live else {}
            case Ended():
                self._finish(event)

    def _start(self, run: Run) -> None:
        self._files.writer.trial_started(run.trial, run.trial_id, run.config, run.seed, run.attempt, run.source)
        self._running[run.trial_id] = _Live(run, time.monotonic(), facts=self._former_facts.pop(run.trial_id, {}))

    def _report(self, run: Run, rows: Sequence[Row], facts: Mapping[str, Any]) -> None:
        live = self._running[run.trial_id]
        live.training = live.training or time.monotonic()
        live.facts = {**live.facts, **facts}
        if not rows:
            return
        self._files.writer.epochs(list(rows))
        if self._files.tensorboard is not None:
            self._files.tensorboard.epochs(run.trial, rows)
        live.epoch, live.value = rows[-1]["epoch"], objective_of(self._objective, rows[-1])
        self._latest = {"trial": run.trial, "epoch": live.epoch, "value": live.value}

    def _finish(self, ended: Ended) -> None:
        run, failure = ended.run, ended.failure
        if run.trial not in self._history.trials:  # its process never started
            self._start(run)
        if ended.facts and run.trial_id in self._running:
            live = self._running[run.trial_id]
            live.facts = {**live.facts, **ended.facts}
        if failure is not None and failure.kind == "lost" and run.trial_id in self._timed_out:
            failure = Failure("error", self._timed_out[run.trial_id])
        if failure is not None:
            self._end(run, TrialState.FAILED, failure)
        else:
            self._end(run, TrialState.COMPLETED if ended.finished else TrialState.PRUNED)

    def end(self, reason: str | None, message: str | None, show: Callable[[dict[str, Any]], None]) -> None:
        """Record that any running trials stop unfinished, and the end of the sweep."""
        for live in list(self._running.values()):
            self._end(live.run, TrialState.CANCELLED)
        self.write_live("ended", show)
        if self._layers and self.best is not None:
            write_best_layers(self._files.study, self.best, self._layers)
        self._files.writer.sweep_ended(reason=reason, message=message)

    def finish(self, reason: str, message: str, show: Callable[[dict[str, Any]], None]) -> None:
        """`end`, and close the writer."""
        self.end(reason, message, show)
        self._files.writer.close()

    def overdue(self, limit_s: float | None) -> list[str]:
        """Ids of running trials that have been training for more than `limit_s` seconds; each is named once.

        Starting a process, which takes seconds after a trial was killed, does not count as training.
        """
        if limit_s is None:
            return []
        late = [
            trial_id
            for trial_id, live in self._running.items()
            if live.training is not None
            and time.monotonic() - live.training > limit_s
            and trial_id not in self._timed_out
        ]
        for trial_id in late:
            self._timed_out[trial_id] = f"took longer than the limit of {limit_s:g} s (budget.trial_time)"
        return late

    def write_live(self, state: str, show: Callable[[dict[str, Any]], None]) -> None:
        """Write the live state and show it.

        Raises:
            TuneAppError: an error in the background since the last time.
        """
        self._files.writer.check()
        live = self.live(state, self._backend.slots)
        self._files.writer.live(live)
        show(live)

    def live(self, state: str, slots: int) -> dict[str, Any]:
        """The current state of the sweep, for the terminal and ``live.json``."""
        seconds = time.monotonic()
        self._learn_progress()
        return {
            "state": state,
            "at": now(),
            "total": self.total,
            "slots": slots,
            "trials": {**self.states, str(TrialState.RUNNING): len(self._running)},
            "running": [
                {
                    "trial": live.run.trial,
                    "source": live.run.source,
                    "epoch": live.epoch,
                    "epochs": live.run.epochs,
                    "fraction": live.fraction,
                    "value": live.value,
                    "seconds": round(seconds - live.started, 1),
                }
                for live in self._running.values()
            ],
            "latest": self._latest,
            "metric": label_of(self._objective),
            "direction": self._objective.direction,
            "best": None if self.best is None else {"trial": self.best.trial, "objective": self.best.objective},
            "elapsed_s": round(seconds - self._began, 1),
            "left_s": self._left(slots) if state == "running" else None,
            "changes": self.changes,
            "answer": self.answer,
            "concurrent": self.concurrent,
            "suggestions": {"count": self._suggestions.count, "seconds": round(self._suggestions.seconds, 6)},
            "mean_duration_s": self._ended_s / self.ended if self.ended else None,
        }

    def _learn_progress(self) -> None:
        """Update the running trials with their progress since their last reports."""
        if time.monotonic() < self._next_question:
            return
        self._next_question = time.monotonic() + PROGRESS_PERIOD_S
        told = self._backend.progress([live.run for live in self._running.values()])
        for live in self._running.values():
            if live.run.trial in told:
                live.training = live.training or time.monotonic()
            epoch, fraction = told.get(live.run.trial, (0, 0.0))
            if epoch > live.epoch:  # reports come in batches, so the epochs before the reported one are done
                live.epoch, live.fraction = epoch - 1, fraction
            else:
                live.fraction = None

    def _left(self, slots: int) -> float | None:
        """Estimated seconds left, from the mean duration of ended trials (including pruned ones) and the busy slots."""
        if not self.ended or not slots:
            return None
        mean = self._ended_s / self.ended
        open_trials = self.total - sum(self.states.values())
        spent = sum(min(mean, time.monotonic() - live.started) for live in self._running.values())
        return float(max(0.0, open_trials * mean - spent) / max(1, min(slots, open_trials)))

    def _end(self, run: Run, state: TrialState, failure: Failure | None = None) -> None:
        live = self._running.pop(run.trial_id, None)
        facts = dict(live.facts) if live else dict(self._former_facts.pop(run.trial_id, {}))
        layers = facts.pop("layers", ())
        duration = time.monotonic() - live.started if live else 0.0
        row = self._row(run, state, failure, live.epoch if live else 0, facts, duration)
        row = self._with_its_files(row)
        self.states[str(state)] += 1
        self.ended += 1
        self._ended_s += duration
        if state == TrialState.FAILED:
            self.failures.append(row)
        record = self._history.trials[run.trial]
        if self._files.journal is not None and state != TrialState.CANCELLED:
            self._files.journal.add(record)
        if self._files.tensorboard is not None:
            worse = None if state == TrialState.CANCELLED else self._with_board.add(row)
            if worse != record.trial:  # otherwise its configuration would be written just to be removed
                self._files.tensorboard.end(record.trial, record.config)
            if worse is not None:
                self._files.tensorboard.remove(worse)
        self._keep_best(row)
        if self.best is row:
            self._layers = layers

    def _with_its_files(self, row: TrialRow) -> TrialRow:
        """Write the row of an ended trial, and keep only checkpoints that may still be needed.

        Pruned and failed trials are never continued, a cancelled one continues when the study is resumed, and the best
        completed ones can be inspected. On a Pareto front, no figure determines the best.
        """
        study, worse = self._files.study, None
        if row.state in (TrialState.PRUNED, TrialState.FAILED):
            worse = row.trial
        elif row.state == TrialState.COMPLETED and row.checkpoint is not None and self._objective.mode != "pareto":
            worse = self._with_checkpoint.add(row)
        if worse == row.trial:
            row = replace(row, checkpoint=None)
        self._files.writer.trial_ended(row)
        if worse is not None:
            study.folder.remove(study.checkpoint(worse))
            if worse != row.trial:
                self._files.writer.checkpoint_removed(worse)
        return row

    def _row(
        self,
        run: Run,
        state: TrialState,
        failure: Failure | None,
        epoch: int,
        facts: Mapping[str, Any],
        duration: float,
    ) -> TrialRow:
        """The row of the `trials` table."""
        record = self._history.trials[run.trial]
        # Where this attempt ended; an earlier one may have got further. If it reported nothing, keep what was known.
        epochs = epoch or max(record.epochs, default=0)
        last = record.epochs.get(epochs, {})
        return TrialRow(
            trial=record.trial,
            trial_id=record.trial_id,
            state=state,
            objective=None if state == TrialState.FAILED else objective_of(self._objective, last),
            failure_kind=failure.kind if failure else None,
            error=failure.error if failure else None,
            epochs=epochs,
            started_at=record.started_at,
            ended_at=now(),
            duration_s=duration,
            gpu_fraction=self._gpu_fraction,
            seed=record.seed if self._seeded else None,
            attempt=record.attempt,
            source=record.source,
            families={
                **{self._columns[name]: value for name, value in record.config.items()},
                **{name: value for name, value in last.items() if name.startswith(("metric/", "health/"))},
            },
            **facts,
        )

    def _keep_best(self, row: TrialRow) -> None:
        if row.state != TrialState.COMPLETED:
            return
        if self.best is None or self._rank(row) < self._rank(self.best):
            self.best = row

    def _rank(self, row: TrialRow) -> tuple[bool, float, int]:
        assert row.objective is not None  # a completed trial has one
        return rank(self._objective.direction, row.objective, row.trial)
