"""What people ask of a sweep while it runs: stop a trial, try one again, run more or fewer, more or fewer at once.

Kept as ``studies/<name>/changes.jsonl``. Whoever may write the store may ask; the sweep looks at the file, does what is
asked, and says in its live state how many changes it has seen and what came of them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from tune_app.errors import Conflict, InputError, WorkFailed
from tune_app.moment import now
from tune_app.store.line_log import LineLog
from tune_app.store.study import Study

Kind = Literal["stop", "retry", "trials", "concurrent"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ANSWER_S = 30.0
"""So long a sweep may take to answer; behind an object store it looks every few seconds."""
PERIOD_S = 0.1


@dataclass(frozen=True)
class SweepChange:
    """One change.

    Attributes:
        value: the number of the trial to stop or to try again; how many trials there shall be in all; how many at
            once, 0 for as many as fit.
        by: who asked.
    """

    kind: Kind
    value: int
    by: str | None = None

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> SweepChange:
        """The change that a line of the file says.

        Raises:
            ValueError: it says none.
        """
        if line["kind"] not in KINDS:
            raise ValueError(line["kind"])
        return cls(line["kind"], int(line["value"]), line.get("by"))


def changes_of(
    stop: Sequence[int], retry: Sequence[int], trials: int | None, concurrent: int | None, by: str | None
) -> list[SweepChange]:
    """These changes in the order in which they are asked for: retries last, for each adds to the number of trials."""
    changes = [SweepChange("stop", trial, by) for trial in stop]
    changes += [] if trials is None else [SweepChange("trials", trials, by)]
    changes += [] if concurrent is None else [SweepChange("concurrent", concurrent, by)]
    return changes + [SweepChange("retry", trial, by) for trial in retry]


class SweepChanges:
    """The changes of a study, for whoever asks and for the sweep."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._log = LineLog(study.folder, f"{study.base}/changes.jsonl")

    def stamp(self) -> object:
        """Something that differs after each change."""
        return self._log.stamp()

    def read(self) -> list[SweepChange]:
        """All changes so far.

        Raises:
            InputError: the file is damaged.
        """
        return self._log.read(SweepChange.of)

    def ask(self, change: SweepChange) -> int:
        """Ask for a change, and give its number, from 0.

        Raises:
            Conflict: no sweep writes the study.
            InputError: the number is negative, or no trials are left.
        """
        if change.value < (1 if change.kind == "trials" else 0):
            least = 1 if change.kind == "trials" else 0
            raise InputError(f"`{change.kind}` must be a whole number, {least} or more, but got {change.value}")
        if not self._study.being_written():
            again = f"`tune-app resume {self._study.name}`"
            raise Conflict(
                f"a sweep must be running to be changed, but nothing writes the study `{self._study.name}`",
                hint=f"{again} goes on with it; --trials N adds N, --retry N tries trial N again",
            )
        line = {"at": now(), "by": change.by, "kind": change.kind, "value": change.value}
        return self._log.add(line, SweepChange.of, lambda known: None)

    def answer_to(self, change: SweepChange) -> str:
        """Ask for a change and wait for what comes of it.

        Raises:
            Conflict, InputError: see `ask`.
            WorkFailed: the sweep did not look at it in time; it may have ended.
        """
        number = self.ask(change)
        deadline = time.monotonic() + ANSWER_S
        while time.monotonic() < deadline:
            live = self._study.json("live.json")
            if live.get("changes", 0) > number:
                return str(live["answer"])
            time.sleep(PERIOD_S)
        raise WorkFailed(
            f"the sweep of `{self._study.name}` has not answered for {ANSWER_S:g} s",
            hint="it may be ending, or its machine is gone",
        )
