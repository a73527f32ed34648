"""The process that Ray starts for a job, tested without Ray on trainings, which need none."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tune_app.jobs.job import Job
from tune_app.jobs.jobs import Jobs

MakeJob = Callable[..., Job]
Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def start(jobs: Jobs) -> Iterator[Start]:
    """Start the process of a job."""

    def run(job_id: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tune_app.jobs.job_runner", jobs.store.folder.url, job_id],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    started: list[subprocess.Popen[str]] = []
    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def add(jobs: Jobs, project: Path, new_job: MakeJob, new_training: Any) -> Callable[..., Job]:
    """Record a training."""

    def make(name: str, **config: Any) -> Job:
        facts = new_training(name, **config)
        facts |= {"folder": str(project), "address": None, "host": socket.gethostname()}
        return jobs.records.create(facts["space"], lambda run: new_job(run, **facts))

    return make


def until_log(jobs: Jobs, job: Job, text: bytes) -> None:
    deadline = time.monotonic() + 60
    while text not in jobs.records.log(job.id):
        assert time.monotonic() < deadline, jobs.records.log(job.id)
        time.sleep(0.1)


def test_a_training_runs_in_the_users_folder_and_leaves_record_and_log(
    jobs: Jobs, add: Callable[..., Job], start: Start
) -> None:
    job = add("good", epochs=2)
    printed, _ = start(job.id).communicate(timeout=60)
    done = jobs.get(job.id)
    assert (done.state, done.exit_code, done.reason) == ("SUCCEEDED", 0, None)
    assert done.requested_at < str(done.started_at) < str(done.ended_at)
    log = jobs.records.log(job.id).decode()
    assert "epoch 2: score 0.52" in log
    assert printed == log, "Ray's log of the job must show it, too"
    assert jobs.store.folder.names("trainings")
    progress = jobs.progress(done)
    assert progress is not None
    assert (progress["epoch"], progress["epochs"], progress["metrics"]["score"]) == (2, 2, 0.52)


def test_a_job_that_fails_reports_its_reason(jobs: Jobs, add: Callable[..., Job], start: Start) -> None:
    job = add("bad", fault="start")
    assert start(job.id).wait(timeout=60) == 1
    failed = jobs.get(job.id)
    assert (failed.state, failed.reason, failed.exit_code) == ("FAILED", "error", 1)
    assert "the training failed: ValueError: cannot be built" in str(failed.message)


def test_a_process_that_ignores_signals_is_killed_in_time(jobs: Jobs, add: Callable[..., Job], start: Start) -> None:
    job = add("deaf", task="deaf:Deaf")
    process = start(job.id)
    until_log(jobs, job, b"deaf now")
    began = time.monotonic()
    cancelled = jobs.cancel(job.id, by="me")
    assert time.monotonic() - began < 10
    assert (cancelled.state, cancelled.reason) == ("CANCELLED", "cancelled")
    assert cancelled.message == "cancelled by me; it did not stop and was killed"
    assert process.wait(timeout=10) != 0
    assert jobs.cancel(job.id) == cancelled, "cancelling again changes nothing"


def test_a_signal_from_ray_is_a_cancellation(jobs: Jobs, add: Callable[..., Job], start: Start) -> None:
    job = add("slow", pace=5.0, epochs=50)
    process = start(job.id)
    deadline = time.monotonic() + 60
    while jobs.get(job.id).state == "QUEUED" and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=20)
    stopped = jobs.get(job.id)
    assert (stopped.state, stopped.message) == ("CANCELLED", "cancelled by SIGTERM from Ray")


def test_a_job_that_was_asked_to_stop_does_not_begin(jobs: Jobs, add: Callable[..., Job], start: Start) -> None:
    job = add("early")
    jobs.records.ask_to_stop(job.id, "me")
    assert start(job.id).wait(timeout=30) == 130
    assert jobs.get(job.id).message == "cancelled by me before it started"


def test_a_job_runs_once_and_only_where_its_store_is_seen(jobs: Jobs, add: Callable[..., Job], start: Start) -> None:
    job = add("twice")
    jobs.records.change(job.id, lambda found: found.moved("RUNNING"))
    for name, error in ((job.id, "is RUNNING and cannot become RUNNING"), ("train-none-1", "there is no job")):
        process = start(name)
        _, printed = process.communicate(timeout=30)
        assert process.returncode == 2
        assert printed.startswith("error: ")
        assert error in printed
        assert len(printed.splitlines()) == 2
