"""A sweep's progress: a live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tune_app.store.trial_row import STATES

PLAIN_PERIOD_S = 10.0
PANEL_PERIOD_S = 0.25


class Progress:
    """Shows the live state of a sweep on `console`; you can call `update` as often as you like.

    Args:
        first: whether the first result is still to come; it gets a separate line.
    """

    def __init__(self, console: Console, first: bool = True) -> None:
        self._console = console
        self._panel = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._next = 0.0
        self._first = first

    def __enter__(self) -> Progress:
        if self._panel is not None:
            self._panel.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._panel is not None:
            self._panel.stop()

    def update(self, live: dict[str, Any]) -> None:
        """Show `live`, see `Recorder.live`, unless the last update was too recent."""
        # A metric may be undefined in the first epochs, and health needs a few.
        if self._first and live["latest"] and live["latest"]["value"] is not None:
            self._first = False
            self._console.print(_first_line(live), highlight=False, soft_wrap=True)
        if time.monotonic() < self._next:
            return
        if self._panel is not None:
            self._next = time.monotonic() + PANEL_PERIOD_S
            self._panel.update(panel(live), refresh=True)
        else:
            self._next = time.monotonic() + PLAIN_PERIOD_S
            self._console.print(line(live), highlight=False, soft_wrap=True)


def line(live: dict[str, Any]) -> str:
    """The state in one line."""
    ended = sum(count for state, count in live["trials"].items() if state != "RUNNING")
    counts = ", ".join(f"{live['trials'][s]} {s.lower()}" for s in STATES if live["trials"].get(s))
    best = live["best"]
    found = f"best {live['metric']} {best['objective']:.4g} (trial {best['trial']})" if best else "no best yet"
    waiting = "starting" if live["slots"] else "waiting for a node"
    return f"{ended}/{live['total']} trials: {counts or waiting}; {found}; {_left(live)}"


def panel(live: dict[str, Any]) -> RenderableType:
    """The state as a panel: bar, counts, best so far, time left, running trials."""
    ended = sum(count for state, count in live["trials"].items() if state != "RUNNING")
    running = Table.grid(padding=(0, 2))
    for trial in live["running"][:12]:
        value = "…" if trial["value"] is None else f"{trial['value']:.4g}"
        running.add_row(
            f"trial {trial['trial']}",
            f"epoch {trial['epoch'] + (trial['fraction'] or 0):.4g}/{trial['epochs']}",
            f"{live['metric']} {value}",
            f"{trial['seconds']:.0f} s",
        )
    more = len(live["running"]) - 12
    bar = Table.grid()
    bar.add_row(ProgressBar(total=max(1, live["total"]), completed=ended, width=60))
    parts: list[RenderableType] = [bar, Text(line(live)), running]
    return Group(*parts, *([Text(f"and {more} more")] if more > 0 else []))


def _first_line(live: dict[str, Any]) -> str:
    trial = live["latest"]
    return f"first result: trial {trial['trial']} epoch {trial['epoch']}: {live['metric']} {trial['value']:.4g}"


def _left(live: dict[str, Any]) -> str:
    if live["left_s"] is None:
        return "time left unknown"
    return f"about {duration(max(1, live['left_s']))} left"


def duration(seconds: float) -> str:
    """Seconds in words: ``45 s``, ``3 min 10 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
