"""Counts Ctrl-C and termination requests while a sweep runs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tune_app.sweep.watchdog import STOPS


@dataclass
class Interrupts:
    """What the user requested.

    Attributes:
        count: number of stop requests: one lets running trials finish, two stop immediately.
        terminated: whether to terminate, which also stops immediately.
    """

    count: int = 0
    terminated: bool = False


@contextmanager
def counted_interrupts() -> Iterator[Interrupts]:
    """Count Ctrl-C and termination requests instead of raising."""
    interrupts = Interrupts()

    def on_signal(number: int, frame: object) -> None:
        if number == signal.SIGINT:
            interrupts.count += 1
        else:
            interrupts.terminated = True

    # `nohup` has a closed terminal ignored.
    numbers = [n for n in (signal.SIGINT, *STOPS) if signal.getsignal(n) != signal.SIG_IGN]
    former = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield interrupts
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
