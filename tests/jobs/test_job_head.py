"""The head on this machine: when it ends, and what a killed one leaves behind."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from tune_app.errors import WorkFailed
from tune_app.folder import LocalFolder
from tune_app.jobs import job_head
from tune_app.jobs.job_head import PREFIX, _name, _wait_until_idle, end_head, ensure_head, find_head


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalFolder:
    """A store's folder that names a head."""
    monkeypatch.setattr(job_head, "LOOK_S", 0.01)
    found = LocalFolder(tmp_path)
    found.write(_name(), b"mine")
    return found


def test_it_ends_when_nothing_has_run_for_a_while(folder: LocalFolder) -> None:
    busy = [True, False, True, False, *[False] * 100]
    left = iter(busy)
    _wait_until_idle(folder, b"mine", 0.05, lambda: next(left), lambda: True)
    assert len(list(left)) < 98, "being busy must delay the end"
    assert folder.read(_name()) is None


def test_a_job_that_comes_at_the_last_moment_keeps_it_alive(folder: LocalFolder) -> None:
    answers = iter([False, True, False, False])
    _wait_until_idle(folder, b"mine", -1, lambda: next(answers), lambda: True)
    assert list(answers) == []


def test_it_ends_when_its_store_goes_away_or_another_head_took_its_place(folder: LocalFolder) -> None:
    for content in (b"another's", None):
        folder.remove(_name()) if content is None else folder.write(_name(), content)
        _wait_until_idle(folder, b"mine", 1e9, lambda: True, lambda: True)
        assert folder.read(_name()) == content


def test_it_ends_when_a_part_of_it_has_died(folder: LocalFolder) -> None:
    whole = iter([True, False])
    _wait_until_idle(folder, b"mine", 1e9, lambda: True, lambda: next(whole))
    assert list(whole) == []
    assert folder.read(_name()) == b"mine", "the process that runs the head removes the file"


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"address": "x"}'])
def test_a_file_that_names_no_head_is_ignored(folder: LocalFolder, content: bytes) -> None:
    folder.write(_name(), content)
    assert find_head(folder) is None
    assert end_head(folder) is None


def test_a_head_whose_process_or_port_is_gone_is_not_found(folder: LocalFolder) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        facts = {"address": address, "ray": "", "pid": os.getpid(), "token_path": ""}
        folder.write(_name(), json.dumps(facts).encode())
        assert find_head(folder) is not None
        folder.write(_name(), json.dumps({**facts, "pid": 2**22 + 1}).encode())
        assert find_head(folder) is None
    folder.write(_name(), json.dumps(facts).encode())
    assert find_head(folder) is None


def test_a_head_that_cannot_start_says_why_and_a_killed_ones_files_are_removed(
    folder: LocalFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / f"{PREFIX}abc"
    left.mkdir()
    facts = {"address": "http://127.0.0.1:1", "ray": "", "pid": 2**22 + 1, "token_path": str(left / "token")}
    folder.write(_name(), json.dumps(facts).encode())
    monkeypatch.setattr(job_head.sys, "executable", "/bin/false")
    with pytest.raises(WorkFailed, match="could not start a Ray head") as caught:
        ensure_head(folder)
    assert "its log is" in caught.value.hint
    assert not left.exists()
    assert folder.read(_name()) is None
