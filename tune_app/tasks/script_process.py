"""The process of a script: started, read, ended with all that it started."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import selectors
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tune_app.tasks import supervisor

LINE_END = re.compile(r"[\r\n]+")
STYLE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
"""A terminal's colors and movements of its cursor, in figures and around them."""
LONGEST_LINE = 10_000
"""Characters of a line that are looked at."""
LAST_LINES = 5
"""Of each of standard output and standard error, for messages."""
END_S = supervisor.GRACE_S + 2 * supervisor.LAST_S + 1
"""So long at most the end of a script is waited for."""


class ScriptProcess:
    """A script that runs, below a supervisor that ends it should this process die.

    Attributes:
        lines, errors: the last lines of its standard output and its standard error.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        working_folder: str,
        trial_folder: str,
        *,
        on_line: Callable[[str], None],
        on_output: Callable[[bytes], None],
        on_end: Callable[[], None],
    ) -> None:
        """Start it in `working_folder`.

        Args:
            trial_folder: removed should this process die.
            on_line: told each line of its standard output, in a thread.
            on_output: told all that it prints as it comes, standard error included, in the same thread.
            on_end: called in that thread when it has ended, and all output was told.
        """
        self._status_text = b""
        self.lines, self.errors = deque[str](maxlen=LAST_LINES), deque[str](maxlen=LAST_LINES)
        self._on_output, self._on_end = on_output, on_end
        told = self._start([trial_folder, *command], environment, working_folder)
        sinks = (_Lines(self.lines, on_line), _Lines(self.errors, lambda line: None))
        self._readers = dict(zip(told[:2], sinks, strict=True))
        self._status = told[2]
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _start(self, words: Sequence[str], environment: Mapping[str, str], folder: str) -> tuple[int, int, int]:
        """The reading ends of its standard output, its standard error, and its status."""
        ends: list[int] = []
        try:
            for _ in range(4):
                ends += os.pipe()
            output, output_in, errors, errors_in, status, status_in, control_out, self._control = ends
            beginning = subprocess.Popen(
                [sys.executable, "-I", "-S", supervisor.__file__, str(control_out), str(status_in), *words],
                stdin=subprocess.DEVNULL,
                stdout=output_in,
                stderr=errors_in,
                env=dict(environment),
                cwd=folder,
                pass_fds=(control_out, status_in),
            )
        except BaseException:
            for descriptor in ends:
                os.close(descriptor)
            raise
        for descriptor in (output_in, errors_in, status_in, control_out):
            os.close(descriptor)
        beginning.wait()  # it leaves the supervisor behind
        return output, errors, status

    @property
    def code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs, or where its supervisor was killed."""
        told = self._status_text.split()
        return int(told[1]) if len(told) == 3 else None

    @property
    def peak_memory_mb(self) -> float | None:
        """Most memory that one of its processes has held, in MiB; of the first one while it runs, on Linux alone."""
        told = self._status_text.split()
        if len(told) == 3:
            return int(told[2]) / (2**20 if sys.platform == "darwin" else 2**10)
        with contextlib.suppress(OSError):
            facts = Path("/proc", told[0].decode(), "status").read_text() if told else ""
            found = re.search(r"^VmHWM:\s*(\d+) kB", facts, re.MULTILINE)
            return int(found[1]) / 2**10 if found else None
        return None

    @property
    def ended(self) -> bool:
        """Whether it has ended and all of its output was told."""
        return not self._reading.is_alive()

    def wait(self, limit_s: float) -> bool:
        """Wait for its end; whether it came within `limit_s`."""
        self._reading.join(limit_s)
        return self.ended

    def end(self) -> None:
        """End it, and all that it started: SIGTERM, then SIGKILL."""
        if self._control < 0:
            return
        with contextlib.suppress(BrokenPipeError):
            os.write(self._control, b".")
        os.close(self._control)
        self._control = -1
        self._reading.join(END_S)

    def _read(self) -> None:
        open_ends = {*self._readers, self._status}
        try:
            with selectors.DefaultSelector() as selector:
                for descriptor in open_ends:
                    selector.register(descriptor, selectors.EVENT_READ)
                while open_ends:
                    for key, _ in selector.select():
                        if not self._take(key.fd):
                            selector.unregister(key.fd)
                            open_ends.remove(key.fd)
                            os.close(key.fd)
        finally:
            for descriptor in open_ends:  # where what is told failed: a script shall not wait for who reads no more
                os.close(descriptor)
            self._on_end()

    def _take(self, descriptor: int) -> bool:
        """Read what is there; False at its end."""
        content = os.read(descriptor, 65536)
        if descriptor == self._status:
            self._status_text += content
            return bool(content)
        self._readers[descriptor].take(content)
        if content:
            self._on_output(content)
        return bool(content)


class _Lines:
    """Cuts what comes in pieces into lines; a progress bar's, which end with a carriage return, too. Without colors."""

    def __init__(self, last: deque[str], on_line: Callable[[str], None]) -> None:
        self._last, self._on_line = last, on_line
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._open = ""

    def take(self, content: bytes) -> None:
        """Take a piece; an empty one is the end."""
        text = self._open + self._decoder.decode(content, final=not content)
        *lines, self._open = LINE_END.split(text)
        if not content or len(self._open) > LONGEST_LINE:
            lines, self._open = [*lines, self._open], ""
        for line in (STYLE.sub("", line) for line in lines):
            if line.strip():
                self._last.append(line[:LONGEST_LINE])
                self._on_line(line[:LONGEST_LINE])
