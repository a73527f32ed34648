"""What a trial prints, in the store."""

from __future__ import annotations

import time
from pathlib import Path

from tune_app.folder import LocalFolder
from tune_app.store import trial_log
from tune_app.store.trial_log import LARGEST, TrialLog


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


def test_an_endless_one_is_cut(tmp_path: Path) -> None:
    log = TrialLog(LocalFolder(tmp_path), "a.log")
    for _ in range(3):
        log.add(b"x" * (LARGEST // 2 + 1))
    log.close()
    text = (tmp_path / "a.log").read_bytes()
    assert text == b"x" * LARGEST + trial_log.CUT


def test_a_log_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    log = TrialLog(LocalFolder(tmp_path), "logs/a.log")
    log.add(b"one\n")
    log.close()
    assert log.error is not None
