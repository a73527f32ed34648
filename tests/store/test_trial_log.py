"""The output of a trial, in the store."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tune_app.folder import LocalFolder
from tune_app.store import trial_log
from tune_app.store.trial_log import CUT, HEAD, TrialLog


def test_it_can_be_read_while_the_trial_runs(tmp_path: Path) -> None:
    log = TrialLog(LocalFolder(tmp_path), "logs/a.log")
    log.add(b"one\n")
    deadline = time.monotonic() + 10
    while not (tmp_path / "logs" / "a.log").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    log.add(b"two\n")
    log.close()
    assert (tmp_path / "logs" / "a.log").read_bytes() == b"one\ntwo\n"


@pytest.mark.parametrize("piece", [7, 1000, 4_000_000, 30_000_000])
def test_a_long_log_keeps_its_start_and_end(tmp_path: Path, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if piece < 10_000:
        monkeypatch.setattr(trial_log, "HEAD", 9_000)
        monkeypatch.setattr(trial_log, "TAIL", 1_000)
    head, tail = trial_log.HEAD, trial_log.TAIL
    printed = b"".join(b"%d " % number for number in range(head // 3))
    log = TrialLog(LocalFolder(tmp_path), "a.log")
    for start in range(0, len(printed), piece):
        log.add(printed[start : start + piece])
    log.close()
    log.close()
    left_out = f"[{len(printed) - head - tail:,} bytes omitted]\n".encode()
    assert (tmp_path / "a.log").read_bytes() == printed[:head] + CUT + left_out + printed[-tail:]


def test_a_slightly_longer_log_is_kept_whole(tmp_path: Path) -> None:
    log = TrialLog(LocalFolder(tmp_path), "a.log")
    for _ in range(3):
        log.add(b"x" * (HEAD // 3 + 100))
    log.close()
    assert (tmp_path / "a.log").read_bytes() == b"x" * HEAD + CUT + b"x" * 300


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    log = TrialLog(LocalFolder(tmp_path), "logs/a.log")
    log.add(b"one\n")
    log.close()
    assert log.error is not None
