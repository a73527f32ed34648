"""What a trial prints, in the store while it runs."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO

from tune_app.errors import TuneAppError
from tune_app.folder import Folder, LocalFolder

PERIOD_S = 0.3
REMOTE_PERIOD_S = 5.0
"""So long output is gathered before it is written: behind an object store each time is a file."""
LARGEST = 10_000_000
"""Bytes of a log; what a trial prints beyond that is not kept."""
CUT = f"\n[a log holds {LARGEST:,} bytes: the rest of this run is not kept]\n".encode()


class TrialLog:
    """Writes what a trial prints behind what an earlier attempt left.

    Attributes:
        error: what went wrong; nothing is written after that, because a trial shall not fail for its log.
    """

    def __init__(self, folder: Folder, name: str) -> None:
        self._folder, self._name = folder, name
        self._period_s = PERIOD_S if isinstance(folder, LocalFolder) else REMOTE_PERIOD_S
        self._mutex = threading.Lock()
        self._gathered = bytearray()
        self._room = LARGEST
        self._timer: threading.Timer | None = None
        self.error: TuneAppError | None = None

    def add(self, content: bytes) -> None:
        """Add to it, within a moment."""
        with self._mutex:
            if self._room > 0:
                self._gathered += content if len(content) <= self._room else content[: self._room] + CUT
                self._room -= len(content)
            if self._timer is None and self._gathered:
                self._timer = threading.Timer(self._period_s, self._write)
                self._timer.daemon = True
                self._timer.start()

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """Add what this process prints within the block, but not what child processes and compiled code print."""
        with redirect_stdout(_stream(self, 1)), redirect_stderr(_stream(self, 2)):
            yield

    def close(self) -> None:
        """Write what is left."""
        with self._mutex:
            timer = self._timer
            if self._room == LARGEST:  # nothing was printed
                return
        if timer is not None:
            timer.cancel()
            self._write()
        if self.error is None:
            try:
                self._folder.merge(self._name)
            except TuneAppError as error:
                self.error = error

    def _write(self) -> None:
        with self._mutex:
            content, self._timer = bytes(self._gathered), None
            self._gathered.clear()
            if not content or self.error is not None:
                return
            try:
                self._folder.append(self._name, content)
            except TuneAppError as error:
                self.error = error


class _Raw(io.RawIOBase):
    """Bytes that go to a log; for whoever asks, it has the descriptor of the stream that it stands for."""

    def __init__(self, log: TrialLog, descriptor: int) -> None:
        self._log, self._descriptor = log, descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return False

    def write(self, content: object) -> int:
        told = bytes(content)  # type: ignore[call-overload]
        self._log.add(told)
        return len(told)


def _stream(log: TrialLog, descriptor: int) -> TextIO:
    raw: Any = _Raw(log, descriptor)  # without a buffer, as with `python -u`: both streams stay in their order
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)
