"""What people ask of a sweep while it runs, done."""

from __future__ import annotations

import time
from dataclasses import replace

from tune_app.errors import InputError, TuneAppError
from tune_app.folder import LocalFolder
from tune_app.spaces.spec import Spec
from tune_app.store.sweep_changes import SweepChange, SweepChanges
from tune_app.store.trial_notes import TrialNotes
from tune_app.sweep.backend import Backend
from tune_app.sweep.recorder import Recorder
from tune_app.sweep.requests import Request, retried
from tune_app.sweep.study_files import StudyFiles
from tune_app.training.seed import derive_seed

STOPPED = "stopped by hand"
"""The tag of trials that a person stopped; in the tables they are pruned ones."""
PERIOD_S = 0.25
REMOTE_PERIOD_S = 3.0
"""How often the sweep looks for changes; behind an object store each time is a request."""


class Steering:
    """Looks for changes and makes them; what cannot be done is answered, and the sweep goes on."""

    def __init__(self, spec: Spec, files: StudyFiles, backend: Backend, recorder: Recorder) -> None:
        self._spec, self._files, self._backend, self._recorder = spec, files, backend, recorder
        self._changes = SweepChanges(files.study)
        self._period = PERIOD_S if isinstance(files.study.folder, LocalFolder) else REMOTE_PERIOD_S
        self._next_look = 0.0
        self._stamp = self._changes.stamp()
        # What was asked of an earlier run was done or lies behind.
        recorder.changes = len(self._changes.read())

    def turn(self, ending: bool) -> None:
        """Make the changes that were asked for since the last time.

        Args:
            ending: the sweep starts no further trial.
        """
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + self._period
        if (stamp := self._changes.stamp()) == self._stamp:
            return
        self._stamp = stamp
        try:
            new = self._changes.read()[self._recorder.changes :]
        except TuneAppError as error:  # a damaged line; a sweep does not end because of it
            self._recorder.answer = str(error)
            return
        for change in new:
            refused = "the sweep is ending" if ending and change.kind != "stop" else ""
            self._recorder.answer = refused or self._make(change)
            self._recorder.changes += 1

    def _make(self, change: SweepChange) -> str:
        match change.kind:
            case "stop":
                return self._stop(change.value, change.by)
            case "retry":
                return self._retry(change.value)
            case "trials":
                return self._trials(change.value)
        self._backend.limit(change.value or None)
        return f"at most {change.value} at a time" if change.value else "as many at a time as fit"

    def _stop(self, trial: int, by: str | None) -> str:
        for run in self._backend.running():
            if run.trial == trial:
                self._backend.stop(run)
                TrialNotes(self._files.study).tag(trial, STOPPED, by)
                return f"trial {trial} ends after the epoch that it trains"
        return f"trial {trial} is not running"

    def _retry(self, trial: int) -> str:
        number = self._recorder.total
        try:
            again = retried(self._files.history, trial, number)
        except InputError as error:
            return error.message
        self._backend.replace_waiting([again, *self._backend.waiting()])
        self._set_total(number + 1)
        return f"trial {number} is trial {trial} again"

    def _trials(self, total: int) -> str:
        waiting = list(self._backend.waiting())
        began = self._recorder.total - len(waiting)
        before, now = self._recorder.total, max(total, began)
        seeds = self._spec.search.seed
        more = [] if self._spec.search.sampler == "grid" else range(before, now)
        kept = [request for request in waiting if request.trial < now]
        self._backend.replace_waiting([*kept, *(Request(number, derive_seed(seeds, number)) for number in more)])
        self._set_total(now)
        return f"the study gets {now} trials" + (f", because {began} had begun" if now > total else "")

    def _set_total(self, total: int) -> None:
        """Keep the number in the study, so that a resumed sweep has it too."""
        self._recorder.total = total
        budget = self._spec.budget.model_copy(update={"trials": total})
        self._spec = replace(self._spec, budget=budget)
        study = self._files.study
        study.folder.write(f"{study.base}/spec.yaml", self._spec.to_yaml().encode())
