"""A trial's output, in the store while it runs."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from typing import Any, TextIO

from tune_app.errors import TuneAppError
from tune_app.folder import Folder, LocalFolder

PERIOD_S = 0.3
REMOTE_PERIOD_S = 5.0
"""How long to buffer output before writing it: on an object store each write is a file."""
HEAD, TAIL = 9_000_000, 1_000_000
"""Bytes from the start of a trial's output, written as they arrive, and from its end, where errors appear."""
CUT = f"\n[the rest of this run follows when it ends: the last {TAIL:,} bytes]\n".encode()


class TrialLog:
    """Appends a trial's output to that of earlier attempts.

    If the output exceeds `HEAD` and `TAIL`, the middle is dropped, and `close` writes the end: the stored part never
    changes, so that readers can follow it by size.

    Attributes:
        error: what went wrong; nothing is written after that, because a trial must not fail because of its log.
    """

    def __init__(self, folder: Folder, name: str) -> None:
        self._folder, self._name = folder, name
        self._period_s = PERIOD_S if isinstance(folder, LocalFolder) else REMOTE_PERIOD_S
        self._mutex = threading.Lock()
        self._gathered = bytearray()
        self._length = 0
        self._tail = bytearray()
        self._timer: threading.Timer | None = None
        self.error: TuneAppError | None = None

    def add(self, content: bytes) -> None:
        """Append to it, after a short delay."""
        with self._mutex:
            room = max(0, HEAD - self._length)
            self._length += len(content)
            self._gathered += content[:room]
            if len(content) > room:
                self._gathered += b"" if self._tail else CUT
                self._tail += content[room:]
                del self._tail[:-TAIL]
            if self._timer is None and self._gathered:
                self._timer = threading.Timer(self._period_s, self._write)
                self._timer.daemon = True
                self._timer.start()

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """Capture what this process prints within the block, except output of child processes and compiled code."""
        (raw_out, out), (raw_err, err) = _streams()
        former = raw_out.log
        raw_out.log = raw_err.log = self
        try:
            with redirect_stdout(out), redirect_stderr(err):
                yield
        finally:
            raw_out.log = raw_err.log = former

    def close(self) -> None:
        """Write what is left."""
        with self._mutex:
            if self._length == 0:
                return
            timer, left_out = self._timer, self._length - HEAD - len(self._tail)
            if self._tail:
                self._gathered += (f"[{left_out:,} bytes omitted]\n".encode() if left_out else b"") + self._tail
                self._tail.clear()
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
    """Sends bytes to the current log, if there is one, and otherwise to the original stream.

    Attributes:
        log: the current one.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.log: TrialLog | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return False

    def write(self, content: object) -> int:
        told = bytes(content)  # type: ignore[call-overload]
        if self.log is None:
            return os.write(self._descriptor, told)
        self.log.add(told)
        return len(told)


@cache
def _streams() -> tuple[tuple[_Raw, TextIO], tuple[_Raw, TextIO]]:
    """Standard output and error, the same for all trials of a process, because `logging` handlers keep the stream they
    got first."""
    out, err = _Raw(1), _Raw(2)
    return (out, _text(out)), (err, _text(err))


def _text(raw: Any) -> TextIO:
    # Unbuffered, as with `python -u`, so that both streams stay in order.
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)
