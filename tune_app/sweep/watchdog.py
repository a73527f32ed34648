"""The end of a sweep whose own thread does not come to it.

Where Ray is dead, the thread of the sweep may wait inside Ray's code for an answer that never comes. No signal reaches
it there, and after a minute Ray aborts the process. So another thread sees to it that the files are finished.
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
"""A request to terminate may come so long after Ray's death: what is sent to every process ends Ray, too."""
FINISH_S = 1.5
"""So long the sweep's own thread has to finish the files."""
LEAVE_S = 3.5
"""So long, all together, the process has to end."""
TERMINATED = "stopped by a request to terminate"

Cause = tuple[Literal["terminate", "lost"], str]
"""Why the sweep must end now, and that in words."""
STOPS = (signal.SIGTERM, signal.SIGHUP)
"""What asks a process to terminate: kill, timeout, systemd, Slurm; a terminal that is closed."""


class Watchdog:
    """Waits for a request to terminate, and for the death of who trains; then ends the sweep within `LEAVE_S`.

    Args:
        leave: ends the process, saying why; called from a thread of its own.

    Attributes:
        cause: why the sweep must end now; None as long as it may go on.
        turn: held by whoever records what happens.
        lost: says in words what of the backend died; asked every `LOOK_S`.
    """

    def __init__(self, leave: Callable[[Cause], None]) -> None:
        self._leave = leave
        self._finish: Callable[[Cause], None] | None = None
        self._over = threading.Event()
        self.cause: Cause | None = None
        self.turn = threading.Lock()
        self.lost: Callable[[], str | None] = lambda: None

    def __enter__(self) -> Watchdog:
        """Begin; in the main thread, since Python tells of signals there."""
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
        """Call `finish`, which cancels the trials and closes the files, if this block does not end when it must."""
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
        # Of a Ray that is dead nothing comes, and Ray may end this process at any moment.
        while self._finish is not None and time.monotonic() < began + FINISH_S and self.lost() is None:
            time.sleep(0.02)
        if (finish := self._finish) is not None:
            mine = self.turn.acquire(timeout=0.5)  # what holds it longer waits for an answer, too
            with contextlib.suppress(TuneAppError):  # nobody is there to tell
                finish(cause)
            self._leave(cause)
            if mine:
                self.turn.release()
        elif not self._over.wait(began + LEAVE_S - time.monotonic()):
            self._leave(cause)
