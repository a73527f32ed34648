"""The study for TensorBoard: scalars of each trial, and the table of hyperparameters.

tensorboard --logdir <root>/studies/<study>/tensorboard
"""

from __future__ import annotations

import math
import os
import queue
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_app.environment import restored_environment
from tune_app.folder import cannot_write
from tune_app.spaces.variable import Config
from tune_app.store.columns import Row

if TYPE_CHECKING:
    from tensorboardX.record_writer import RecordWriter

FIGURES = ("metric/", "health/")
OPEN_FILES = 128
"""Maximum number of trials with an open file; others are closed between epochs."""
WAIT_S = 2.0
"""How long the first epochs of a trial stay in memory. Most trials do not end among the best, and creating and
removing a folder for each costs a sweep of short trials 20% of its time (`benchmarks/overhead.py`)."""


@dataclass
class Waiting:
    """Unwritten data of a trial; `since` and the times of its epochs are in seconds since 1970."""

    since: float
    epochs: list[tuple[float, Row]]
    config: Config | None = None


class TensorBoardLog:
    """Writes the epochs of trials as they come, and their configurations at their ends, from a separate thread.

    Each trial has a folder in `folder`, with a file for each attempt. Attributes:
        error: the error that ended the thread, raised by the sweep at its end; None if there was none.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        """Start; `names` are the metrics, the main one first, that the table shows next to the overall health."""
        self._folder = folder
        self._shown = [*(f"metric/{name}" for name in names), "health/overall"]
        self._files: dict[int, RecordWriter] = {}
        self._waiting: dict[int, Waiting] = {}
        self._queue: queue.SimpleQueue[tuple[int, float, list[Row], Config | None] | None] = queue.SimpleQueue()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="tensorboard-log", daemon=True)
        self._thread.start()

    def epochs(self, trial: int, rows: Sequence[Row]) -> None:
        """Write the rows of a trial's new epochs; there must be at least one."""
        self._queue.put((trial, time.time(), list(rows), None))

    def end(self, trial: int, config: Config) -> None:
        """Write the configuration of a trial that has ended."""
        self._queue.put((trial, time.time(), [], config))

    def remove(self, trial: int) -> None:
        """Remove the files of an ended trial."""
        self._queue.put((trial, time.time(), [], None))

    def close(self) -> None:
        """Write the rest."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            while (told := self._next()) is not None:
                self._take(*told)
            self._write_waiting(math.inf)
            for file in self._files.values():
                file.close()
        except OSError as error:
            self.error = cannot_write(self._folder, error)
        except BaseException as error:
            self.error = error

    def _next(self) -> tuple[int, float, list[Row], Config | None] | None:
        """The next item; meanwhile writes what has waited long enough."""
        while True:
            self._write_waiting(time.time())
            try:
                return self._queue.get(timeout=WAIT_S if self._waiting else None)
            except queue.Empty:
                continue

    def _write_waiting(self, now: float) -> None:
        """Write what has waited for `WAIT_S` at `now`."""
        while self._waiting:
            trial, waiting = next(iter(self._waiting.items()))  # the oldest first
            if now - waiting.since < WAIT_S:
                return
            del self._waiting[trial]
            self._write(trial, waiting)

    def _take(self, trial: int, at: float, rows: list[Row], config: Config | None) -> None:
        if not rows and config is None:
            self._remove(trial)
            return
        waiting = self._waiting.setdefault(trial, Waiting(at, []))
        waiting.epochs += [(at, row) for row in rows]
        waiting.config = config
        if trial in self._files:
            self._write(trial, self._waiting.pop(trial))

    def _remove(self, trial: int) -> None:
        self._waiting.pop(trial, None)
        if (open_file := self._files.pop(trial, None)) is not None:
            open_file.close()
        shutil.rmtree(self._folder / _name(trial), ignore_errors=True)

    def _write(self, trial: int, waiting: Waiting) -> None:
        with restored_environment("CRC32C_SW_MODE"):  # tensorboardX sets it when it is imported
            from tensorboardX.proto.summary_pb2 import Summary
            from tensorboardX.summary import hparams

        file = self._files.get(trial) or self._open(trial)
        for at, row in waiting.epochs:
            figures = {name: value for name, value in row.items() if name.startswith(FIGURES) and value is not None}
            values = [Summary.Value(tag=name, simple_value=value) for name, value in figures.items()]
            _put(file, at, Summary(value=values), step=row["epoch"])
        if waiting.config is not None:
            for summary in hparams(dict(waiting.config), dict.fromkeys(self._shown, 0.0)):
                _put(file, time.time(), summary)
            self._files.pop(trial).close()
        else:
            file._writer.flush()  # its own `flush` waits for the disk, which would cost a trial milliseconds

    def _open(self, trial: int) -> RecordWriter:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.record_writer import RecordWriter

        while len(self._files) >= OPEN_FILES:
            self._files.pop(next(iter(self._files))).close()
        folder = self._folder / _name(trial)
        folder.mkdir(parents=True, exist_ok=True)
        file = RecordWriter(str(folder / f"events.out.tfevents.{time.time_ns()}.{os.getpid()}"))
        file.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
        self._files[trial] = file
        return file


def _name(trial: int) -> str:
    """Of a trial's folder."""
    return f"trial-{trial:05d}"


def _put(file: RecordWriter, at: float, summary: Any, step: int | None = None) -> None:
    from tensorboardX.proto.event_pb2 import Event

    given: Mapping[str, Any] = {} if step is None else {"step": step}
    file.write(Event(wall_time=at, summary=summary, **given).SerializeToString())
