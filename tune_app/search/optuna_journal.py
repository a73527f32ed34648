"""The study in a form that optuna-dashboard opens: a journal file next to the results.

Each trial is written once, when it has ended, so that none can stay RUNNING there after a crash. Trials are written in
numerical order, so Optuna's numbers match ours; a trial that ends early waits for those before it. After an interrupt
the numbers may differ; the user attribute `trial` always has ours.
"""

from __future__ import annotations

import queue
import threading
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tune_app.errors import WorkFailed, one_line
from tune_app.folder import cannot_write
from tune_app.search.frozen_trial import frozen_trial
from tune_app.spaces.objective import directions_of
from tune_app.spaces.section import Objective
from tune_app.spaces.space import Space
from tune_app.store.event_log import TrialRecord


class OptunaJournal:
    """Writes ended trials to ``optuna.journal`` from a separate thread, since each costs a sync to the disk."""

    def __init__(self, path: Path, name: str, space: Space, objective: Objective) -> None:
        self._path, self._space, self._objective = path, space, objective
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _end_cut_line(path)
            self._study = optuna.create_study(
                storage=JournalStorage(JournalFileBackend(str(path))),
                study_name=name,
                directions=directions_of(objective),
                load_if_exists=True,
            )
        except OSError as error:
            raise cannot_write(path, error) from error
        self._written = {trial.user_attrs["trial"] for trial in self._study.get_trials(deepcopy=False)}
        self._waiting: dict[int, TrialRecord] = {}
        self._queue: queue.SimpleQueue[TrialRecord | None] = queue.SimpleQueue()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="optuna-journal", daemon=True)
        self._thread.start()

    def add(self, record: TrialRecord) -> None:
        """Write `record`, an ended trial; skip it if it is already there."""
        self._queue.put(record)

    def close(self) -> None:
        """Write the rest, including trials that wait for one that never ended."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            while (record := self._queue.get()) is not None:
                self._waiting[record.trial] = record
                while self._waiting and min(self._waiting) <= len(self._written):
                    self._write(self._waiting.pop(min(self._waiting)))
            for number in sorted(self._waiting):
                self._write(self._waiting[number])
        except OSError as error:  # raised by the sweep, which checks this
            self.error = cannot_write(self._path, error)
        except BaseException as error:
            # Optuna reads the file before appending, and fails in many ways if it is missing or truncated.
            self.error = WorkFailed(f"cannot write {self._path}: {one_line(error)}", hint="remove it and resume")

    def _write(self, record: TrialRecord) -> None:
        if record.trial not in self._written:
            self._study.add_trial(frozen_trial(self._space, record, self._objective))
            self._written.add(record.trial)


def _end_cut_line(path: Path) -> None:
    if path.is_file() and (content := path.read_bytes()) and not content.endswith(b"\n"):
        path.write_bytes(content[: content.rfind(b"\n") + 1])
