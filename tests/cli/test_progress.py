"""A sweep's progress on the terminal."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from tune_app.cli.progress import Progress, duration, line, panel

LIVE: dict[str, Any] = {
    "state": "running", "total": 40, "slots": 2, "metric": "val_accuracy",
    "trials": {"RUNNING": 2, "COMPLETED": 5, "PRUNED": 7, "FAILED": 1},
    "running": [{"trial": 13, "epoch": 3, "epochs": 15, "fraction": 0.4, "value": 0.91234, "seconds": 4.2},
                {"trial": 14, "epoch": 0, "epochs": 15, "fraction": None, "value": None, "seconds": 0.3}],
    "latest": {"trial": 13, "epoch": 3, "value": 0.91234},
    "best": {"trial": 8, "objective": 0.98765}, "left_s": 190.0,
}  # fmt: skip


def shown(live: dict[str, Any]) -> list[str]:
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)
    console.print(panel(live))
    assert isinstance(console.file, io.StringIO)
    return [text.rstrip() for text in console.file.getvalue().splitlines()]


def test_one_line_says_counts_best_and_time_left() -> None:
    assert line(LIVE) == (
        "13/40 trials: 2 running, 5 completed, 7 pruned, 1 failed; best val_accuracy 0.9877 (trial 8); "
        "about 3 min 10 s left"
    )
    nothing = {**LIVE, "trials": {"RUNNING": 0}, "best": None, "left_s": None}
    assert line(nothing) == "0/40 trials: starting; no best yet; time left unknown"


def test_the_panel_has_a_bar_the_line_and_one_line_per_running_trial() -> None:
    bar, text, first, second = shown(LIVE)
    assert set(bar) == {"━", "╸"}  # 13 of 40 of 60 columns; the rest has no color here
    assert text == line(LIVE)
    assert first.split() == ["trial", "13", "epoch", "3.4/15", "val_accuracy", "0.9123", "4", "s"]
    assert second.split() == ["trial", "14", "epoch", "0/15", "val_accuracy", "…", "0", "s"]


def test_many_running_trials_do_not_fill_the_screen() -> None:
    many = {**LIVE, "running": [{**LIVE["running"][0], "trial": n} for n in range(50)]}
    assert len(shown(many)) == 15
    assert shown(many)[-1] == "and 38 more"


def test_without_a_terminal_there_are_plain_lines() -> None:
    console = Console(file=io.StringIO(), width=120)
    with Progress(console) as progress:
        progress.update({**LIVE, "latest": None})
        progress.update({**LIVE, "latest": {"trial": 13, "epoch": 1, "value": None}})
        progress.update(LIVE)
        progress.update(LIVE)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert text.count("first result: trial 13 epoch 3: val_accuracy 0.9123") == 1
    assert text.count("13/40 trials") == 1, "a line every 10 s, not for every update"
    assert "\x1b" not in text


def test_durations_are_readable() -> None:
    assert [duration(s) for s in (0.4, 59, 61, 7500)] == ["0 s", "59 s", "1 min 1 s", "2 h 5 min"]


def test_the_panel_is_drawn_a_few_times_a_second_however_often_it_is_updated() -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    with Progress(console) as progress:
        for _ in range(50):
            progress.update(LIVE)
    assert isinstance(console.file, io.StringIO)
    assert 1 <= console.file.getvalue().count("13/40 trials") <= 4
