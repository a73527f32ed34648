"""What people ask of a sweep while it runs: stop a trial, try one again, run more or fewer, more or fewer at once.

Kept as ``studies/<name>/changes.jsonl``. Whoever may write the store may ask; the sweep looks at the file, does what is
asked, and says in its live state how many changes it has seen and what came of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from tune_app.errors import Conflict, InputError
from tune_app.moment import now
from tune_app.store.line_log import LineLog
from tune_app.store.study import Study

Kind = Literal["stop", "retry", "trials", "concurrent"]
KINDS: tuple[Kind, ...] = get_args(Kind)


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
