"""Users' requests to a running sweep: stop a trial, retry one, run more or fewer, in total or at once.

Stored in ``studies/<name>/changes.jsonl``. Anyone who may write the store may request changes; the sweep reads the
file, carries them out, and reports in its live state how many changes it has seen and the results.
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
"""How long a sweep may take to respond; on an object store it checks every few seconds."""
PERIOD_S = 0.1


@dataclass(frozen=True)
class SweepChange:
    """One change.

    Attributes:
        value: the number of the trial to stop or retry; the total number of trials; how many at once, 0 for as many as
            fit.
        by: who requested it.
    """

    kind: Kind
    value: int
    by: str | None = None

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> SweepChange:
        """The change in a line of the file.

        Raises:
            ValueError: it is not a change.
        """
        if line["kind"] not in KINDS:
            raise ValueError(line["kind"])
        return cls(line["kind"], int(line["value"]), line.get("by"))


def changes_of(
    stop: Sequence[int], retry: Sequence[int], trials: int | None, concurrent: int | None, by: str | None
) -> list[SweepChange]:
    """These changes in the order of the requests: retries last, because each one adds a trial."""
    changes = [SweepChange("stop", trial, by) for trial in stop]
    changes += [] if trials is None else [SweepChange("trials", trials, by)]
    changes += [] if concurrent is None else [SweepChange("concurrent", concurrent, by)]
    return changes + [SweepChange("retry", trial, by) for trial in retry]


class SweepChanges:
    """The changes of a study, for users and for the sweep."""

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
        """Request a change, and return its number, from 0.

        Raises:
            Conflict: no sweep is writing the study.
            InputError: the number is negative, or no trials are left.
        """
        if change.value < (1 if change.kind == "trials" else 0):
            least = 1 if change.kind == "trials" else 0
            raise InputError(f"`{change.kind}` must be a whole number, {least} or more, but got {change.value}")
        if not self._study.being_written():
            again = f"`tune-app resume {self._study.name}`"
            raise Conflict(
                f"only a running sweep can be changed, but nothing is writing the study `{self._study.name}`",
                hint=f"{again} continues it; --trials N adds N trials, --retry N runs trial N again",
            )
        line = {"at": now(), "by": change.by, "kind": change.kind, "value": change.value}
        return self._log.add(line, SweepChange.of, lambda known: None)

    def answer_to(self, change: SweepChange) -> str:
        """Request a change and wait for the result.

        Raises:
            Conflict, InputError: see `ask`.
            WorkFailed: the sweep did not respond in time; it may have ended.
        """
        number = self.ask(change)
        deadline = time.monotonic() + ANSWER_S
        while time.monotonic() < deadline:
            live = self._study.json("live.json")
            if live.get("changes", 0) > number:
                return str(live["answer"])
            time.sleep(PERIOD_S)
        raise WorkFailed(
            f"the sweep of `{self._study.name}` has not responded for {ANSWER_S:g} s",
            hint="it may be ending, or its machine is gone",
        )
