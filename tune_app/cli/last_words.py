"""A last message if this process dies without printing one.

Ray's compiled code ends the whole process if it writes to a dead raylet, without running any Python code; the kernel
does the same when memory runs out. So a shell waits until this process ends, and prints its last words.
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
"""It reads pairs of lines and prints the last pair, unless that is empty."""

WAIT_S = 1.0
"""Seconds for the shell to exit after its input is closed."""


class LastWords:
    """Within a ``with`` block, prints a message if this process dies silently."""

    def __init__(self) -> None:
        self._told: tuple[str, str] | None = None
        self._shell = subprocess.Popen(["/bin/sh", "-c", SHELL], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)

    def __enter__(self) -> LastWords:
        self._tell("the process died without an error message: it was killed, or Ray died", "start it again")
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
        """From now on there are results that `resume` can continue."""
        self._tell(
            "the process of the sweep was killed, or Ray died; results are kept",
            f"`tune-app resume {study}` continues",
        )

    def withdraw(self) -> None:
        """This process prints its own ending."""
        self._tell("", "")

    def _tell(self, words: str, hint: str) -> None:
        if (words, hint) == self._told:
            return
        self._told = words, hint
        assert self._shell.stdin is not None
        with contextlib.suppress(OSError):  # it has died; the sweep continues without it
            self._shell.stdin.write(f"{words}\n{hint}\n".encode())
            self._shell.stdin.flush()
