"""The study as TensorBoard shows it: scalars of each trial, and the table of hyperparameters.

tensorboard --logdir <root>/studies/<study>/tensorboard
"""

from __future__ import annotations

import os
import queue
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
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
"""So many trials at most have their file open; further ones are closed between their epochs."""


class TensorBoardLog:
    """Writes the epochs of each trial as they come, and its configuration when it has ended, from a thread of its own.

    Each trial has a folder under `folder`, and each of its attempts a file in there. Attributes:
        error: what ended the thread, raised by the sweep at its end; None while all is well.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        """Begin; `names` are the metrics, the main one first, that the table shows beside the overall health."""
        self._folder = folder
        self._shown = [*(f"metric/{name}" for name in names), "health/overall"]
        self._files: dict[int, RecordWriter] = {}
        self._queue: queue.SimpleQueue[tuple[int, list[Row], Config | None] | None] = queue.SimpleQueue()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="tensorboard-log", daemon=True)
        self._thread.start()

    def epochs(self, trial: int, rows: Sequence[Row]) -> None:
        """Write the rows of a trial's new epochs, of which there is one at least."""
        self._queue.put((trial, list(rows), None))

    def end(self, trial: int, config: Config) -> None:
        """Write the configuration of a trial that has ended."""
        self._queue.put((trial, [], config))

    def remove(self, trial: int) -> None:
        """Remove what was written of a trial that has ended."""
        self._queue.put((trial, [], None))

    def close(self) -> None:
        """Write what is left."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            while (told := self._queue.get()) is not None:
                self._write(*told)
            for file in self._files.values():
                file.close()
        except OSError as error:
            self.error = cannot_write(self._folder, error)
        except BaseException as error:
            self.error = error

    def _write(self, trial: int, rows: list[Row], config: Config | None) -> None:
        if not rows and config is None:
            if (open_file := self._files.pop(trial, None)) is not None:
                open_file.close()
            shutil.rmtree(self._folder / _name(trial), ignore_errors=True)
            return
        with restored_environment("CRC32C_SW_MODE"):  # tensorboardX sets it when it is imported
            from tensorboardX.proto.summary_pb2 import Summary
            from tensorboardX.summary import hparams

        file = self._files.get(trial) or self._open(trial)
        for row in rows:
            figures = {name: value for name, value in row.items() if name.startswith(FIGURES) and value is not None}
            values = [Summary.Value(tag=name, simple_value=value) for name, value in figures.items()]
            _put(file, Summary(value=values), step=row["epoch"])
        if config is not None:
            for summary in hparams(dict(config), dict.fromkeys(self._shown, 0.0)):
                _put(file, summary)
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


def _put(file: RecordWriter, summary: Any, step: int | None = None) -> None:
    from tensorboardX.proto.event_pb2 import Event

    given: Mapping[str, Any] = {} if step is None else {"step": step}
    file.write(Event(wall_time=time.time(), summary=summary, **given).SerializeToString())
