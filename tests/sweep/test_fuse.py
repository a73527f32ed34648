"""The fuse: when a sweep with failing trials is stopped, and with which message."""

from __future__ import annotations

import pytest

from tune_app.store.trial_row import FailureKind, TrialRow, TrialState
from tune_app.sweep.fuse import blown


def failed(error: str | None = "ValueError: no 1 (a.py:3 in start)", kind: FailureKind = "error") -> TrialRow:
    at = "2026-01-01T00:00:00+00:00"
    return TrialRow(0, "t0", TrialState.FAILED, 0, at, at, 0.0, 0, 1, failure_kind=kind, error=error)


def test_the_first_five_for_one_reason() -> None:
    failures = [failed(f"ValueError: epoch {n}") for n in range(5)]
    assert [blown(failures[:n], n) for n in range(5)] == [None] * 5
    assert blown(failures, 5) == "the first 5 trials all failed: error: ValueError: epoch 0"
    assert blown([*failures, failed("KeyError: x")], 6), "two may end before the next check"


def test_the_first_five_for_different_reasons() -> None:
    assert blown([*[failed()] * 4, failed("KeyError: x")], 5) is None
    assert blown([*[failed()] * 4, failed(kind="oom")], 5) is None
    assert blown([failed(None)] * 5, 5), "a failure without a message is a reason too"


def test_one_of_the_first_was_fine() -> None:
    assert blown([failed()] * 4, 5) is None
    assert blown([failed()] * 5, 6) is None
    assert blown([failed()] * 8, 9) is None


@pytest.mark.parametrize(
    ("failures", "ended", "blows"), [(5, 10, False), (6, 10, True), (50, 100, False), (51, 100, True)]
)
def test_more_than_half_of_at_least_ten(failures: int, ended: int, blows: bool) -> None:
    rows = [failed(f"Error{n}: x") for n in range(failures)]
    reason = blown(rows, ended)
    assert (reason is not None) == blows
    if reason:
        assert reason == f"{failures} of {ended} trials failed, the last one: Error{failures - 1}: x"


def test_nothing_failed() -> None:
    assert blown([], 0) is None
    assert blown([], 1000) is None
