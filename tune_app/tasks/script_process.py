"""The process of a script: starting, reading, and ending it with all its children."""

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
"""Terminal escape sequences (colors, cursor movements) in the output."""
LONGEST_LINE = 10_000
"""Maximum characters of a line to examine."""
LAST_LINES = 5
"""Number of last lines to keep of each stream, for messages."""
END_S = supervisor.GRACE_S + 2 * supervisor.LAST_S + 1
"""Maximum wait for the end of a script."""


class ScriptProcess:
    """A running script, under a supervisor that ends it if this process dies.

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
            trial_folder: removed if this process dies.
            on_line: called with each line of its standard output, in a thread.
            on_output: called with all its output as it arrives, including standard error, in the same thread.
            on_end: called in that thread after it has ended and all output was delivered.
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
        beginning.wait()  # the supervisor remains
        return output, errors, status

    @property
    def code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs, or if its supervisor was killed."""
        told = self._status_text.split()
        return int(told[1]) if len(told) == 3 else None

    @property
    def peak_memory_mb(self) -> float | None:
        """Peak memory of one of its processes, in MiB; of the first one while it runs, only on Linux."""
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
        """Whether it has ended and all its output was delivered."""
        return not self._reading.is_alive()

    def wait(self, limit_s: float) -> bool:
        """Wait for its end; returns whether it ended within `limit_s`."""
        self._reading.join(limit_s)
        return self.ended

    def end(self) -> None:
        """End it and all its children: SIGTERM, then SIGKILL."""
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
            for descriptor in open_ends:  # if a callback failed: a script must not block on a reader that stopped
                os.close(descriptor)
            self._on_end()

    def _take(self, descriptor: int) -> bool:
        """Read available output; False at its end."""
        content = os.read(descriptor, 65536)
        if descriptor == self._status:
            self._status_text += content
            return bool(content)
        self._readers[descriptor].take(content)
        if content:
            self._on_output(content)
        return bool(content)


class _Lines:
    """Splits chunks into lines, including those of progress bars that end with a carriage return. Strips colors."""

    def __init__(self, last: deque[str], on_line: Callable[[str], None]) -> None:
        self._last, self._on_line = last, on_line
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._open = ""

    def take(self, content: bytes) -> None:
        """Add a chunk; an empty one marks the end."""
        text = self._open + self._decoder.decode(content, final=not content)
        *lines, self._open = LINE_END.split(text)
        if not content or len(self._open) > LONGEST_LINE:
            lines, self._open = [*lines, self._open], ""
        for line in (STYLE.sub("", line) for line in lines):
            if line.strip():
                self._last.append(line[:LONGEST_LINE])
                self._on_line(line[:LONGEST_LINE])
