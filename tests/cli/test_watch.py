"""`tune-app watch` follows a sweep in another process through the store alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tune_app.cli import watch
from tune_app.cli.main import run
from tune_app.cli.progress import Progress
from tune_app.jobs.job import Job
from tune_app.jobs.job_store import JobStore
from tune_app.moment import now
from tune_app.spaces.spec import Spec
from tune_app.store.columns import column_types
from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.store.study_writer import StudyWriter

LIVE: dict[str, Any] = {
    "state": "running", "total": 5, "slots": 2, "trials": {"RUNNING": 1}, "metric": "val_accuracy", "best": None,
    "running": [], "latest": {"trial": 0, "epoch": 1, "value": 0.5}, "left_s": None, "elapsed_s": 0.0,
}  # fmt: skip


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """An event that is set once a live state has been shown."""
    shown = threading.Event()
    update = Progress.update

    def watched(progress: Progress, live: dict[str, Any]) -> None:
        update(progress, live)
        shown.set()

    monkeypatch.setattr(Progress, "update", watched)
    return shown


def elsewhere(study: Study, spec: Spec, seen: threading.Event, end: dict[str, Any] | None) -> None:
    """Act as a sweep that starts soon and, once it has been seen, ends as `end` says; None means it is killed."""
    time.sleep(0.3)
    with study.writing():
        study.folder.write(f"{study.base}/spec.yaml", spec.to_yaml().encode())
        with StudyWriter(study, study.history(), column_types(spec.space.variables)) as writer:
            writer.sweep_started(trials=5)
            began = time.monotonic()
            while not seen.wait(0.1) and time.monotonic() < began + 20:
                writer.live({**LIVE, "elapsed_s": time.monotonic() - began})
            if end is not None:
                writer.live({**LIVE, "state": "ended"})
                writer.sweep_ended(**end)


@pytest.fixture
def follow(
    seen: threading.Event, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], make_spec: Any
) -> Callable[..., Any]:
    """Watch a sweep; returns the exit code and standard error."""
    monkeypatch.setattr(watch, "SILENT_S", 0.8)
    monkeypatch.setattr(watch, "REMOTE_PERIOD_S", 0.1)

    def watched(store: str, end: dict[str, Any] | None) -> tuple[int, str]:
        spec = make_spec()
        thread = threading.Thread(target=elsewhere, args=(Study(Store(store).folder, spec.name), spec, seen, end))
        thread.start()
        code = run(["watch", spec.name, "--wait", "--store", store])
        thread.join()
        return code, capsys.readouterr().err

    return watched


@pytest.mark.parametrize("remote", [False, True])
def test_a_sweep_is_followed_from_before_its_start_to_its_end(
    remote: bool, follow: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    store = request.getfixturevalue("s3_url") if remote else str(tmp_path)
    code, shown = follow(store, {"reason": "fuse", "message": "all failed"})
    assert code == 1, shown
    lines = shown.splitlines()
    assert lines[:3] == [
        f"waiting for the study `digits-small` in {store}",
        "first result: trial 0 epoch 1: val_accuracy 0.5",
        "0/5 trials: 1 running; no best yet; time left unknown",
    ]
    assert lines[3] == "error: the sweep was stopped: all failed"


def test_an_interrupted_sweep_has_its_own_exit_code(follow: Any, tmp_path: Path) -> None:
    code, shown = follow(str(tmp_path), {"reason": "interrupt", "message": "stopped by the user"})
    assert (code, "stopped by the user; results are kept" in shown) == (130, True)


def test_a_sweep_that_was_killed_is_noticed(follow: Any, tmp_path: Path) -> None:
    code, shown = follow(str(tmp_path), None)
    assert code == 1, shown
    assert "nothing runs the study `digits-small` any more: its sweep was killed after 0 of 5 trials" in shown
    assert "tune-app resume digits-small" in shown


def test_an_ended_study_shows_its_results(make_study: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_study(tmp_path)
    assert run(["watch", study.name, "--store", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert "digits-small: 3 completed, 1 failed, 1 pruned" in shown.out
    assert "first result" not in shown.err


def test_only_with_wait_is_a_missing_study_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["watch", "digits", "--store", str(tmp_path)]) == 2
    assert "--wait waits for a study to start" in capsys.readouterr().err


def test_waiting_ends_if_the_studys_job_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = JobStore(Store(tmp_path).folder)
    facts = {"kind": "sweep", "space": "digits", "study": "mine", "request": {}, "requested_by": "someone",
             "requested_at": now(), "address": None, "host": "here", "folder": ".", "submission_id": "a"}  # fmt: skip
    job = records.create("digits", lambda number: Job(id=f"digits-{number}", run=number, **facts))  # type: ignore[arg-type]
    records.end(job.id, "FAILED", reason="error", message="the preflight failed")
    assert run(["watch", "mine", "--wait", "--store", str(tmp_path)]) == 1
    assert "the job `digits-1` failed (error): the preflight failed" in capsys.readouterr().err
