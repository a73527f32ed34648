"""Standard output and error: survive closed pipes, and reserve stdout for a document."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import Any

GONE = (errno.EPIPE, errno.EIO, errno.EBADF)
"""Error numbers of writing to a broken pipe, a closed terminal, and a closed descriptor."""


class _Steady(io.FileIO):
    """A descriptor whose reader may disappear: further output is dropped."""

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except OSError as error:
            if error.errno not in GONE:
                raise
            return memoryview(content).nbytes


def keep_steady() -> None:
    """Keep this process running if its standard output or error is closed, now or later, or cannot encode a string.

    Side effects: closed descriptors 0 to 2 are redirected to the null device, so that no other file gets their number;
    `sys.stdout` and `sys.stderr` are replaced.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    sys.stdout = _stream(1, sys.stdout)
    sys.stderr = _stream(2, sys.stderr)


def _stream(number: int, former: Any) -> io.TextIOWrapper:
    if former is not None:
        former.flush()
    raw = _Steady(number, "wb", closefd=False)
    encoding = "utf-8" if former is None else former.encoding
    by_line = number == 2 or raw.isatty()
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors="backslashreplace", line_buffering=by_line)


@contextlib.contextmanager
def reserved() -> Iterator[None]:
    """Reserve standard output for after this block: everything printed in it goes to standard error.

    This includes what C code and child processes write to descriptor 1, such as a task's downloads with ``tar`` or
    ``git``.
    """
    _flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _flush()
        os.dup2(kept, 1)
        os.close(kept)


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()
    ctypes.CDLL(None).fflush(None)  # flush C's output buffer
