"""The fuse: a sweep whose trials keep failing stops and says why."""

from __future__ import annotations

from collections.abc import Sequence

from tune_app.store.trial_row import TrialRow

FIRST = 5
AT_LEAST = 10


def blown(failures: Sequence[TrialRow], ended: int) -> str | None:
    """Why the sweep should stop: its first 5 trials all failed for the same reason, or more than half of at least 10
    failed.

    Args:
        failures: rows of the failed trials in this run of the sweep, in the order in which they ended.
        ended: how many trials ended in this run.
    """
    if ended == len(failures) >= FIRST and len({_reason(row) for row in failures[:FIRST]}) == 1:
        return f"the first {FIRST} trials all failed: {failures[0].failure_kind}: {failures[0].error}"
    if ended >= AT_LEAST and len(failures) > ended / 2:
        return f"{len(failures)} of {ended} trials failed, the last one: {failures[-1].error}"
    return None


def _reason(row: TrialRow) -> tuple[str | None, str]:
    # Numbers differ from trial to trial (epochs, sizes); the words before the first colon are the kind of error.
    return row.failure_kind, (row.error or "").split(":")[0]
