"""Ctrl-C and the requests to terminate, counted while a sweep runs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tune_app.sweep.watchdog import STOPS


@dataclass
class Interrupts:
    """What the user asked for.

    Attributes:
        count: how often to stop: once lets running trials finish, twice stops at once.
        terminated: whether to terminate, which stops at once, too.
    """

    count: int = 0
    terminated: bool = False


@contextmanager
def counted_interrupts() -> Iterator[Interrupts]:
    """Count Ctrl-C and requests to terminate instead of raising."""
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
