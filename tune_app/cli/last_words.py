"""What is said where this process ends without a word of its own.

Ray's compiled code ends the whole process where it writes to a raylet that is dead, and no code of Python runs then;
the kernel does the same where memory runs out. So a shell waits for the end of this process, and says its last words.
"""

from __future__ import annotations

import contextlib
import subprocess
from types import TracebackType

SHELL = """
trap "" INT TERM HUP
while IFS= read -r first && IFS= read -r second; do words=$first hint=$second; done
test -z "$words" || printf 'error: %s\\n  %s\\n' "$words" "$hint" >&2
"""
"""Of the pairs of lines that it is given it says the last, unless that is empty."""

WAIT_S = 1.0
"""Seconds that the shell has to end after its input was closed."""


class LastWords:
    """Within a ``with`` block, an end of this process that nobody tells of is told."""

    def __init__(self) -> None:
        self._told: tuple[str, str] | None = None
        self._shell = subprocess.Popen(["/bin/sh", "-c", SHELL], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)

    def __enter__(self) -> LastWords:
        self._tell("the process ended without a word: it was killed, or what it needs of Ray died", "start it again")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.withdraw()
        assert self._shell.stdin is not None
        with contextlib.suppress(OSError):  # it has died
            self._shell.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):  # a child process holds the pipe
            self._shell.wait(WAIT_S)
        self._shell.kill()
        self._shell.wait()

    def sweeping(self, study: str) -> None:
        """There are results now, with which `resume` goes on."""
        self._tell(
            "the process of the sweep was killed, or what it needs of Ray died; results are kept",
            f"`tune-app resume {study}` goes on",
        )

    def withdraw(self) -> None:
        """This process says itself how it ends."""
        self._tell("", "")

    def _tell(self, words: str, hint: str) -> None:
        if (words, hint) == self._told:
            return
        self._told = words, hint
        assert self._shell.stdin is not None
        with contextlib.suppress(OSError):  # it has died, and the sweep goes on without
            self._shell.stdin.write(f"{words}\n{hint}\n".encode())
            self._shell.stdin.flush()
