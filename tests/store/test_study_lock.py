"""The lock of a study in an object store: one holder, takeover from a dead holder, and detection of a lost lock."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tune_app.errors import Conflict, WorkFailed
from tune_app.folder import open_folder
from tune_app.moment import now
from tune_app.store import study_lock
from tune_app.store.study import Study
from tune_app.store.study_writer import StudyWriter

LOCK = "studies/.s.lock"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_lock, "BEAT_S", 0.05)
    monkeypatch.setattr(study_lock, "STALE_S", 0.6)


@pytest.fixture
def study(s3_url: str) -> Callable[[], Study]:
    """Open the study as a separate process would."""
    return lambda: Study(open_folder(s3_url), "s")


def until(true: Callable[[], object]) -> None:
    """Wait until something is true."""
    ends = time.monotonic() + 10
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_a_second_writer_is_refused(study: Callable[[], Study]) -> None:
    first, second = study(), study()
    assert not second.being_written()
    with first.writing():
        time.sleep(1.2)  # longer than a lock lasts without a heartbeat
        assert second.being_written()
        with pytest.raises(Conflict, match="`s` is being written by another process") as caught, second.writing():
            raise AssertionError
        assert str(os.getpid()) in caught.value.hint
        with Study(first.folder, "another").writing():
            pass
    assert not second.being_written()
    assert first.folder.read(LOCK) is None
    with second.writing():
        assert first.being_written()


def test_only_one_of_many_gets_it(study: Callable[[], Study]) -> None:
    start, tried = threading.Barrier(4), threading.Barrier(4)

    def write(_: int) -> bool:
        mine = study()
        start.wait()
        try:
            with mine.writing():
                tried.wait()
                return True
        except Conflict:
            tried.wait()
            return False

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(write, range(4))) == [False, False, False, True]


@pytest.mark.parametrize("content", [b'{"holder": "gone:1", "at": "2026-01-01T00:00:00+00:00"}', b"", b"[]"])
def test_a_dead_holders_lock_is_taken_over(study: Callable[[], Study], content: bytes) -> None:
    found = study()
    found.folder.write(LOCK, content)
    assert not found.being_written()
    with found.writing():
        assert study().being_written()
        found.check_lock()


def test_a_lost_lock_stops_its_former_holder(study: Callable[[], Study]) -> None:
    mine, other = study(), study()
    with mine.writing():
        writer = StudyWriter(mine, mine.history(), {})
        writer.sweep_started()
        until(lambda: mine.folder.read("studies/s/events.jsonl"))
        before = mine.folder.read("studies/s/events.jsonl")
        taken = json.dumps({"holder": "host:7", "token": "x", "at": now()})
        other.folder.write(LOCK, taken.encode())
        with pytest.raises(WorkFailed, match="another process, host:7, took over the study `s`"):
            until(lambda: writer.check() or writer.sweep_ended())
        with pytest.raises(WorkFailed, match="took over"):
            writer.close()
        assert mine.folder.read("studies/s/events.jsonl") == before, "the process that lost the lock writes nothing"
    assert other.folder.read(LOCK) == taken.encode(), "the other process keeps its lock"


def test_a_lost_response_does_not_lose_the_lock(study: Callable[[], Study], monkeypatch: pytest.MonkeyPatch) -> None:
    mine = study()
    replace, lost = mine.folder.replace, threading.Event()

    def put(name: str, content: bytes, version: object) -> object:
        done = replace(name, content, version)
        if version is not None and not lost.is_set():  # it succeeded, so the retry is rejected
            lost.set()
            return replace(name, content, version)
        return done

    monkeypatch.setattr(mine.folder, "replace", put)
    with mine.writing():
        assert lost.wait(5)
        time.sleep(0.2)
        mine.check_lock()
        assert study().being_written()
    assert mine.folder.read(LOCK) is None


def test_a_temporary_outage_of_the_store(study: Callable[[], Study], monkeypatch: pytest.MonkeyPatch) -> None:
    mine = study()
    replace, failed = mine.folder.replace, threading.Event()

    def put(name: str, content: bytes, version: object) -> object:
        if version is not None and not failed.is_set():
            failed.set()
            raise WorkFailed("cannot write")
        return replace(name, content, version)

    monkeypatch.setattr(mine.folder, "replace", put)
    with mine.writing():
        assert failed.wait(5)
        time.sleep(0.2)
        mine.check_lock()
    assert mine.folder.read(LOCK) is None


def test_a_process_that_ends_inside_the_block_can_release_the_lock(study: Callable[[], Study]) -> None:
    first, second = study(), study()
    with first.writing():
        first.release_lock()
        time.sleep(0.2)  # enough time to renew the lock four times
        assert not second.being_written()
        with second.writing():
            first.release_lock()
            assert second.being_written()
            second.check_lock()
