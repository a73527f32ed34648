"""Carries out users' requests to a running sweep."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from tune_app.errors import InputError, TuneAppError
from tune_app.folder import LocalFolder
from tune_app.readable import counted
from tune_app.spaces.spec import Spec
from tune_app.store.columns import Row
from tune_app.store.sweep_changes import SweepChange, SweepChanges
from tune_app.store.trial_notes import TrialNotes
from tune_app.store.trial_row import TrialState
from tune_app.sweep.backend import Backend
from tune_app.sweep.recorder import Recorder
from tune_app.sweep.requests import Request, retried
from tune_app.sweep.study_files import StudyFiles
from tune_app.training.seed import derive_seed

STOPPED = "stopped by hand"
"""The tag of trials that a user stopped; in the tables they are pruned."""
PERIOD_S = 0.25
REMOTE_PERIOD_S = 3.0
"""How often the sweep checks for changes; on an object store, each check is a request."""


class Steering:
    """Checks for changes and applies them; if one is impossible, it says so and the sweep continues.

    Trial numbers have no gaps: started trials have the lowest ones.

    Args:
        requests: the initial trials of the sweep.
    """

    def __init__(
        self, spec: Spec, files: StudyFiles, backend: Backend, recorder: Recorder, requests: Sequence[Request]
    ) -> None:
        self._spec, self._files, self._backend, self._recorder = spec, files, backend, recorder
        self._changes = SweepChanges(files.study)
        self._period = PERIOD_S if isinstance(files.study.folder, LocalFolder) else REMOTE_PERIOD_S
        self._next_look = 0.0
        self._stamp: object = None
        self._numbers = set(files.history.trials) | {request.trial for request in requests}
        self._dropped: dict[int, Request] = {}
        self._stopping: dict[int, str | None] = {}
        recorder.changes = files.history.changes

    def turn(self, ending: bool) -> None:
        """Apply the changes requested since the last time.

        Args:
            ending: the sweep starts no more trials.
        """
        self._tag_stopped()
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + self._period
        if (stamp := self._changes.stamp()) == self._stamp:
            return
        self._stamp = stamp
        try:
            new = self._changes.read()[self._recorder.changes :]
        except TuneAppError as error:  # a damaged line must not end the sweep
            self._recorder.answer = str(error)
            return
        for change in new:
            requested: dict[int, Row] = {}
            refused = "the sweep is ending" if ending and change.kind != "stop" else ""
            self._recorder.answer = refused or self._make(change, requested)
            self._recorder.changes += 1
            self._files.writer.sweep_changed(self._recorder.changes, requested)

    def end(self) -> None:
        """Complete the changes that wait for trials to end."""
        self._tag_stopped()

    def _make(self, change: SweepChange, requested: dict[int, Row]) -> str:
        match change.kind:
            case "stop":
                return self._stop(change.value, change.by)
            case "retry":
                return self._retry(change.value, requested)
            case "trials":
                return self._trials(change.value)
        self._backend.limit(change.value or None)
        self._recorder.concurrent = change.value or None
        resources = self._spec.resources.model_copy(update={"concurrent": change.value or "auto"})
        self._keep(replace(self._spec, resources=resources))
        return f"at most {change.value} at a time" if change.value else "as many at a time as fit"

    def _stop(self, trial: int, by: str | None) -> str:
        for run in self._backend.running():
            if run.trial == trial:
                self._backend.stop(run)
                self._stopping[trial] = by
                return f"trial {trial} ends after its current epoch"
        return f"trial {trial} is not running"

    def _tag_stopped(self) -> None:
        """Note who stopped the stopped trials; a trial that completed in the same moment does not count."""
        for trial in list(self._stopping):
            record = self._files.history.trials.get(trial)
            if record is None or record.row is None:
                continue
            by = self._stopping.pop(trial)
            if record.row.state != TrialState.PRUNED:
                continue
            try:
                TrialNotes(self._files.study).tag(trial, STOPPED, by)
            except TuneAppError as error:
                self._recorder.answer = f"trial {trial} was stopped, but its tag cannot be written: {error.message}"

    def _retry(self, trial: int, requested: dict[int, Row]) -> str:
        """The trial again, with the number of the next trial; waiting trials move up by one."""
        waiting = list(self._backend.waiting())
        fresh = [request for request in waiting if request.trial not in self._files.history.trials]
        numbers = [*(request.trial for request in fresh), self._recorder.total]
        try:
            again = retried(self._files.history, trial, numbers[0])
        except InputError as error:
            return error.message
        moved = [
            replace(request, trial=number, seed=derive_seed(self._spec.search.seed, number))
            for request, number in zip(fresh, numbers[1:], strict=True)
        ]
        others = [request for request in waiting if request.trial in self._files.history.trials]
        self._backend.replace_waiting([*others, again, *moved])
        self._numbers.add(numbers[-1])
        requested[again.trial] = {"config": again.config, "seed": again.seed, "source": again.source}
        self._set_total(self._recorder.total + 1)
        return f"trial {again.trial} repeats trial {trial}"

    def _trials(self, total: int) -> str:
        waiting = list(self._backend.waiting())
        begun = self._numbers - {request.trial for request in waiting}
        now = max(total, max(begun, default=-1) + 1)
        kept = [request for request in waiting if request.trial < now]
        self._dropped |= {request.trial: request for request in waiting if request.trial >= now}
        for number in sorted(set(range(now)) - begun - {request.trial for request in kept}):
            if number in self._dropped:
                kept.append(self._dropped.pop(number))
            elif self._spec.search.sampler != "grid":
                kept.append(Request(number, derive_seed(self._spec.search.seed, number)))
        self._backend.replace_waiting(kept)
        self._numbers = begun | {request.trial for request in kept}
        self._set_total(len(self._numbers))
        why = f", because {len(begun)} had started" if now > total else ""
        why = ", because its grid has no more" if len(self._numbers) < total else why
        return f"the study now has {counted(len(self._numbers), 'trial')}{why}"

    def _set_total(self, total: int) -> None:
        """Store the number in the study, so that a resumed sweep also has it."""
        self._recorder.total = total
        self._keep(replace(self._spec, budget=self._spec.budget.model_copy(update={"trials": total})))

    def _keep(self, spec: Spec) -> None:
        self._spec = spec
        study = self._files.study
        study.folder.write(f"{study.base}/spec.yaml", spec.to_yaml().encode())
