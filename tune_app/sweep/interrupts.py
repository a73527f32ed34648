"""Ctrl-C and the request to terminate, counted while a sweep runs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Interrupts:
    """How often the user asked to stop: once lets running trials finish, twice stops at once."""

    count: int = 0


@contextmanager
def counted_interrupts() -> Iterator[Interrupts]:
    """Count Ctrl-C instead of raising; a request to terminate counts as two of them."""
    interrupts = Interrupts()

    def on_signal(number: int, frame: object) -> None:
        interrupts.count += 1 if number == signal.SIGINT else 2

    former = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupts
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
