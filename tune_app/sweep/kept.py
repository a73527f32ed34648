"""Which ended trials keep their files: the best ones, so that a study of any size has few files."""

from __future__ import annotations

import bisect
from collections.abc import Iterable

from tune_app.spaces.objective import rank
from tune_app.store.trial_row import TrialRow, TrialState

MOST_KEPT = 25
"""Trials whose checkpoint, and whose folder for TensorBoard, a study keeps. With those of 16 running trials and the
files of the study itself that is less than 100 files."""
Standing = tuple[bool, int, tuple[bool, float, int]]


class Kept:
    """The best ended trials: completed ones first, then those that got furthest.

    Args:
        rows: of trials that ended earlier; cancelled ones will continue.
    """

    def __init__(self, direction: str, rows: Iterable[TrialRow] = ()) -> None:
        self._direction = direction
        self._standings: list[Standing] = []
        for row in rows:
            if row.state != TrialState.CANCELLED:
                self.add(row)

    def add(self, row: TrialRow) -> int | None:
        """Add an ended trial; returns the number of the one that is no longer among the best, possibly this one."""
        bisect.insort(self._standings, self._standing(row))
        return self._standings.pop()[2][2] if len(self._standings) > MOST_KEPT else None

    def _standing(self, row: TrialRow) -> Standing:
        completed = row.state == TrialState.COMPLETED
        objective = float("nan") if row.objective is None else row.objective
        return not completed, 0 if completed else -row.epochs, rank(self._direction, objective, row.trial)
