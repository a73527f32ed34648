"""Ends a sweep whose own thread hangs.

If Ray is dead, the sweep's thread may wait inside Ray's code for a response that never comes. No signal reaches it
there, and after a minute Ray aborts the process. So another thread makes sure that the files are finished.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Literal

from tune_app.errors import TuneAppError

LOOK_S = 0.5
SIGNAL_S = 0.1
"""How long after Ray's death a termination request may arrive: a signal to all processes also ends Ray."""
FINISH_S = 1.5
"""How long the sweep's own thread has to finish the files."""
LEAVE_S = 3.5
"""Total time for the process to end."""
TERMINATED = "stopped by a request to terminate"

Cause = tuple[Literal["terminate", "lost"], str]
"""Why the sweep must end now, and the reason in words."""
STOPS = (signal.SIGTERM, signal.SIGHUP)
"""The signals that ask a process to terminate: kill, timeout, systemd, Slurm; a closed terminal."""


class Watchdog:
    """Waits for a termination request or the death of the backend; then ends the sweep within `LEAVE_S`.

    Args:
        leave: ends the process, saying why; called from a separate thread.

    Attributes:
        cause: why the sweep must end now; None while it may continue.
        turn: held while recording events.
        lost: which part of the backend died, in words; checked every `LOOK_S`.
    """

    def __init__(self, leave: Callable[[Cause], None]) -> None:
        self._leave = leave
        self._finish: Callable[[Cause], None] | None = None
        self._over = threading.Event()
        self.cause: Cause | None = None
        self.turn = threading.Lock()
        self.lost: Callable[[], str | None] = lambda: None

    def __enter__(self) -> Watchdog:
        """Start, in the main thread, because Python handles signals there."""
        self._told, self._tells = socket.socketpair()
        self._tells.setblocking(False)
        self._former = signal.set_wakeup_fd(self._tells.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        signal.set_wakeup_fd(self._former)
        self._tells.close()  # which wakes the thread

    @contextlib.contextmanager
    def guarding(self, finish: Callable[[Cause], None]) -> Iterator[None]:
        """Call `finish`, which cancels the trials and closes the files, if this block does not end in time."""
        self._finish = finish
        try:
            yield
        finally:
            self._finish = None

    def _watch(self) -> None:
        while self.cause is None and not self._over.is_set():
            if self._is_told_to_stop(LOOK_S):
                self.cause = "terminate", TERMINATED
            elif (lost := self.lost()) is not None:
                self.cause = ("terminate", TERMINATED) if self._is_told_to_stop(SIGNAL_S) else ("lost", lost)
        if self.cause is not None:
            self._end(self.cause)
        self._told.close()

    def _is_told_to_stop(self, wait_s: float) -> bool:
        told = select.select([self._told], [], [], wait_s)[0]
        return bool(told) and not set(STOPS).isdisjoint(os.read(self._told.fileno(), 64))

    def _end(self, cause: Cause) -> None:
        began = time.monotonic()
        # A dead Ray sends nothing, and may end this process at any moment.
        while self._finish is not None and time.monotonic() < began + FINISH_S and self.lost() is None:
            time.sleep(0.02)
        if (finish := self._finish) is not None:
            mine = self.turn.acquire(timeout=0.5)  # if it is held longer, its holder is also waiting for a response
            with contextlib.suppress(TuneAppError):  # nobody is reading
                finish(cause)
            self._leave(cause)
            if mine:
                self.turn.release()
        elif not self._over.wait(began + LEAVE_S - time.monotonic()):
            self._leave(cause)
