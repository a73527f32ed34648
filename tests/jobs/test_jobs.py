"""Jobs through Ray's job server, on a head on this machine that all tests here share."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pandas as pd
import psutil
import pytest

from tune_app.errors import InputError, WorkFailed
from tune_app.jobs import jobs as jobs_module
from tune_app.jobs.job import Job
from tune_app.jobs.job_head import _is_withdrawn, ensure_head, find_head, head_lock
from tune_app.jobs.job_request import JobRequest, request_of
from tune_app.jobs.jobs import Jobs, connect
from tune_app.store.store import Store

MakeJob = Callable[..., Job]


def test_a_sweep_from_submit_to_its_results(shell: Any) -> None:
    done = shell("submit", "space.yaml", "--no-preflight", "--follow", "--json")
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)
    assert (row["id"], row["state"], row["study"], row["run"]) == ("faulty-1", "SUCCEEDED", "faulty-1", 1)
    assert row["progress"]["ended"] == row["progress"]["total"] == 3
    assert row["progress"]["best"]["objective"] > 0
    assert Path(row["log"]).read_text() in done.stderr, "--follow shows the log"
    assert len(pd.read_parquet(shell.store / "trials" / "study=faulty-1")) == 3
    assert "SUCCEEDED" in shell("jobs", "list").stdout
    assert "3/3 trials" in shell("jobs", "status", "faulty-1").stdout
    assert shell("jobs", "logs", "faulty-1").stdout == Path(row["log"]).read_text()


def test_the_head_listens_only_on_loopback_and_requires_its_token(shell: Any) -> None:
    with head_lock(shell.jobs.store.folder):
        head = ensure_head(shell.jobs.store.folder)
    assert Path(head.token_path).parent.stat().st_mode & 0o077 == 0
    with pytest.raises(InputError, match="refused us") as caught:
        connect(head.address, "wrong")
    assert "RAY_AUTH_MODE=token" in caught.value.hint
    assert len(str(caught.value).splitlines()) == 2
    with socket.socket() as probe, pytest.raises(OSError, match="refused"):
        probe.connect((_own_address(), int(head.address.rpartition(":")[2])))


def test_cancelling_a_sweep_keeps_what_it_finished(shell: Any) -> None:
    slow = ("--set", "training.pace=0.3", "--trials", "50")
    job = shell.submit("space.yaml", "--no-preflight", "--name", "mine", *slow)
    assert (job.id, job.study) == (f"faulty-{job.run}", "mine")
    with pytest.raises(InputError, match=f"the study `mine` belongs to the job `{job.id}`"):
        shell.jobs.submit(JobRequest("sweep", "faulty", "mine", {}))
    shell.until(lambda: (shell.jobs.progress(job) or {"ended": 0})["ended"] >= 2)
    began = time.monotonic()
    done = shell("jobs", "cancel", job.id)
    assert time.monotonic() - began < 10
    assert f"{job.id} is CANCELLED: cancelled by" in done.stdout
    states = pd.read_parquet(shell.store / "trials" / "study=mine")["state"]
    assert 2 <= len(states) < 50
    assert set(states) <= {"COMPLETED", "CANCELLED"}, "a trial that was about to end may complete"


def test_a_job_in_rays_queue_is_cancelled_within_seconds(
    shell: Any, new_training: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shell.project)
    facts = new_training("waiting")
    job = shell.jobs.submit(JobRequest("training", facts["space"], None, facts["request"], cpus=1000))
    began = time.monotonic()
    cancelled = shell.jobs.cancel(job.id, by="me")
    assert time.monotonic() - began < 3
    assert (cancelled.state, cancelled.message) == ("CANCELLED", "cancelled by me; it had not started")
    head = find_head(shell.jobs.store.folder)
    assert head is not None
    (waiting,) = [j for j in connect(head.address, head.token()).list_jobs() if j.submission_id == job.submission_id]
    assert _is_withdrawn(shell.jobs.records, waiting), "it must not keep the head from ending"
    shell.jobs.records.remove(job.id)
    assert _is_withdrawn(shell.jobs.records, waiting)


def test_a_process_that_is_frozen_is_ended_by_ray(
    shell: Any, new_training: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "YIELD_S", 0.5)
    job = _train(shell, new_training, monkeypatch, "slow", pace=0.5, epochs=500)
    shell.until(lambda: b"epoch 1" in shell.jobs.records.log(job.id))
    (runner,) = _processes(f"job_runner {shell.store} {job.id}")
    os.kill(runner, signal.SIGSTOP)
    cancelled = shell.jobs.cancel(job.id, by="me")
    assert (cancelled.state, cancelled.message) == ("CANCELLED", "cancelled by me; it did not stop and was killed")
    shell.until(lambda: not _of_job(shell, job), 10)


def test_jobs_of_a_head_that_was_killed_are_lost_and_a_new_head_takes_the_next(
    shell: Any, new_training: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = _train(shell, new_training, monkeypatch, "long", pace=0.5, epochs=500)
    shell.until(lambda: b"epoch 1" in shell.jobs.records.log(job.id))
    assert len(_of_job(shell, job)) == 2
    busy = shell("jobs", "shutdown")
    assert (busy.returncode, job.id in busy.stderr) == (2, True)
    head = find_head(shell.jobs.store.folder)
    assert head is not None
    below = psutil.Process(head.pid).children(recursive=True)
    os.kill(head.pid, signal.SIGKILL)
    shell.until(lambda: shell.jobs.get(job.id).ended, 20)
    lost = shell.jobs.get(job.id)
    assert (lost.state, lost.reason) == ("FAILED", "lost")
    assert "the Ray head on" in str(lost.message)
    shell.until(lambda: not _of_job(shell, job), 20)
    assert shell("jobs", "shutdown").stdout.startswith("no head is running")
    assert not Path(head.token_path).parent.exists(), "what it left behind must be removed"
    for process in below:  # Ray's agent, which otherwise spends a minute and a core on trying to tell the head
        with suppress(psutil.NoSuchProcess):
            process.kill()


# The tests below need no head.


def test_a_job_is_lost_when_the_job_server_does_not_know_it(
    jobs: Jobs, new_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "SILENT_S", -1)
    with _job_server([]) as address:
        job = _running(jobs, new_job, address)
        assert (job.state, job.reason) == ("FAILED", "lost")
        assert "the head was restarted" in str(job.message)
        assert "tune-app resume" not in str(job.message), "its study has not begun"


def test_a_training_skips_a_number_that_a_manual_training_has_taken(jobs: Jobs) -> None:
    jobs.store.folder.write("trainings/train-mine-1/metrics.json", b"{}")
    assert jobs.accept(JobRequest("training", "train-mine", None, {})).id == "train-mine-2"


def test_a_lost_job_names_the_command_that_resumes_its_study(
    jobs: Jobs, new_job: MakeJob, make_study: Any, make_spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "SILENT_S", -1)
    make_study(jobs.store.folder.url, make_spec(name="digits-1"))
    with _job_server([]) as address:
        assert "tune-app resume digits-1" in str(_running(jobs, new_job, address).message)


@pytest.mark.parametrize(
    ("status", "state", "reason"),
    [("RUNNING", "RUNNING", None), ("STOPPED", "CANCELLED", "cancelled"), ("FAILED", "FAILED", "lost")],
)
def test_a_silent_job_has_the_state_that_ray_reports(
    jobs: Jobs, new_job: MakeJob, monkeypatch: pytest.MonkeyPatch, status: str, state: str, reason: str | None
) -> None:
    monkeypatch.setattr(jobs_module, "SILENT_S", -1)
    known = {"type": "SUBMISSION", "submission_id": "digits-1-abcd", "status": status, "entrypoint": "", "message": "m"}
    with _job_server([known]) as address:
        job = _running(jobs, new_job, address)
        assert (job.state, job.reason) == (state, reason)


def test_a_job_whose_cluster_is_silent_is_lost_only_after_a_while(
    jobs: Jobs, new_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "SILENT_S", -1)
    assert _running(jobs, new_job, "http://127.0.0.1:1").state == "RUNNING"
    monkeypatch.setattr(jobs_module, "YIELD_S", 0.0)
    with pytest.raises(WorkFailed, match="was asked to stop but has not yet"):
        jobs.cancel("digits-1")
    assert jobs.records.asked_to_stop("digits-1") is not None, "its process may still see it"
    monkeypatch.setattr(jobs_module, "LOST_S", -1)
    lost = jobs.get("digits-1")
    assert (lost.state, lost.reason) == ("FAILED", "lost")
    with pytest.raises(InputError, match="can be cancelled, but `digits-1` is FAILED"):
        jobs.cancel("digits-1")


def test_a_job_that_was_never_submitted_to_ray_is_not_queued_forever(
    jobs: Jobs, new_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.records.create("digits", new_job)
    assert jobs.get("digits-1").state == "QUEUED"
    monkeypatch.setattr(jobs_module, "LOST_S", -1)
    assert jobs.get("digits-1").reason == "lost"


def test_a_job_that_has_not_begun_is_cancelled_at_once_whatever_ray_does(jobs: Jobs, new_job: MakeJob) -> None:
    for submitted in (False, True):
        job = jobs.records.create("digits", lambda run: new_job(run, address="http://127.0.0.1:1"))
        if submitted:
            jobs.records.submitted(job.id)
        began = time.monotonic()
        cancelled = jobs.cancel(job.id, by="me")
        assert time.monotonic() - began < 3
        assert (cancelled.state, cancelled.message) == ("CANCELLED", "cancelled by me; it had not started")
        assert jobs.records.asked_to_stop(job.id) == "me", "its process would see that"
        assert jobs.give(cancelled, JobRequest("sweep", "digits", None, {})).state == "CANCELLED"


def test_a_job_that_was_accepted_but_not_submitted_is_submitted_from_its_record(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked: list[dict[str, Any]] = []
    with _job_server([], asked=asked) as address:
        content = {"profile": "", "name": "mine", "epochs": None, "seed": None, "cpus": 2.0, "gpus": None}
        accepted = jobs.accept(JobRequest("training", "train-mine", None, content, 2.0), address=address)
        (found,) = jobs.never_given()
        assert found == accepted
        given = jobs.give(found, request_of(found))
        assert jobs.give(found, request_of(found)) == given, "a job must be submitted only once"
    assert given.submitted_at is not None
    assert jobs.never_given() == []
    assert [told["entrypoint_num_cpus"] for told in asked] == [2.0]


@pytest.mark.parametrize(
    ("told", "reason", "said"),
    [
        (
            {"driver_exit_code": -9, "message": "failed, last available logs:\nepoch 1\n\n  epoch 2  \n"},
            "lost",
            "the job's process was ended by SIGKILL; the last line it printed: epoch 2",
        ),
        (
            {"driver_exit_code": 2, "message": "failed with exit code 2. No logs available."},
            "error",
            "the job's process ended with exit code 2",
        ),
        ({"message": "The node died.\nA page of it"}, "lost", "Ray lost the job's process: The node died."),
        ({}, "lost", "Ray lost the job's process: it does not say why"),
    ],
)
def test_the_end_of_a_silent_process_gets_a_readable_message(
    jobs: Jobs, new_job: MakeJob, monkeypatch: pytest.MonkeyPatch, told: dict[str, Any], reason: str, said: str
) -> None:
    monkeypatch.setattr(jobs_module, "SILENT_S", -1)
    known = {"type": "SUBMISSION", "submission_id": "digits-1-abcd", "status": "FAILED", "entrypoint": "", **told}
    with _job_server([known]) as address:
        job = _running(jobs, new_job, address)
        assert (job.reason, job.message) == (reason, said)


def test_purge_removes_by_state_and_age_and_studies_only_when_asked(
    jobs: Jobs, new_job: MakeJob, make_study: Any, make_spec: Any
) -> None:
    for run, state in ((1, "SUCCEEDED"), (2, "FAILED"), (3, "SUCCEEDED")):
        job = jobs.records.create("digits", new_job)
        make_study(jobs.store.folder.url, make_spec(name=job.study))
        jobs.records.end(f"digits-{run}", state)
    jobs.records.create("digits", new_job)
    assert jobs.purgeable(("SUCCEEDED",), timedelta(hours=1)) == []
    found = jobs.purgeable(("SUCCEEDED",), timedelta())
    assert [job.id for job in found] == ["digits-1", "digits-3"]
    jobs.purge(found[0])
    jobs.purge(found[1], study=True)
    assert jobs.records.ids() == ["digits-2", "digits-4"]
    assert jobs.store.studies() == ["digits-1", "digits-2"]
    assert not jobs.store.folder.names("trials/study=digits-3")
    assert jobs.records.create("digits", new_job).run == 5


def test_purge_removes_what_a_training_left_only_when_asked(jobs: Jobs, new_job: MakeJob) -> None:
    for run in (1, 2):
        job = jobs.records.create("train", lambda run: new_job(run, space="train", kind="training", study=None))
        jobs.store.folder.write(f"trainings/{job.id}/checkpoint.pt", b"weights")
        jobs.purge(jobs.records.end(job.id, "FAILED"), study=run == 2)
    assert jobs.records.ids() == []
    assert jobs.store.folder.names("trainings") == ["train-1"]


@pytest.mark.parametrize(
    ("address", "error"),
    [
        ("head:8265", "must be http://HOST:PORT"),
        ("ray://head:10001", "must be http://HOST:PORT"),
        ("http://127.0.0.1:1", "no job server answers at `http://127.0.0.1:1`"),
        ("http://127.0.0.1:port", "no job server answers"),
    ],
)
def test_an_address_without_a_job_server_is_refused_in_two_lines(address: str, error: str) -> None:
    with pytest.raises(InputError, match=error) as caught:
        connect(address)
    assert len(str(caught.value).splitlines()) == 2


def test_a_server_other_than_rays_is_rejected() -> None:
    with _job_server([], status=404) as address, pytest.raises(InputError, match="is not the job server of a Ray"):
        connect(address)


def _train(shell: Any, new_training: Any, monkeypatch: pytest.MonkeyPatch, name: str, **config: Any) -> Job:
    """Submit a training, which starts sooner because it needs no Ray."""
    facts = new_training(name, **config)
    monkeypatch.chdir(shell.project)
    return shell.jobs.submit(JobRequest("training", facts["space"], None, facts["request"], cpus=1))


def _running(jobs: Jobs, new_job: MakeJob, address: str) -> Job:
    job = jobs.records.create("digits", lambda run: new_job(run, address=address))
    jobs.records.submitted(job.id)
    jobs.records.change(job.id, lambda found: found.moved("RUNNING"))
    jobs.records.beat(job.id)
    return jobs.get(job.id)


def test_keys_in_a_store_address_reach_a_job_only_through_its_environment(
    s3_url: str, s3_access: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    server = s3_access["AWS_ENDPOINT_URL"].removeprefix("http://")
    query = f"region=us-east-1&scheme=http&endpoint_override={server}"
    jobs = Jobs(Store(f"{s3_url.replace('://', '://someone:marked-secret@')}?{query}"))
    monkeypatch.chdir(tmp_path)
    asked: list[dict[str, Any]] = []
    with _job_server([], asked=asked) as address:
        notify = ("https://example.org/marked-secret",)
        job = jobs.submit(JobRequest("training", "train-mine", None, {}, notify=notify), address=address)
    (told,) = asked
    keys = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "marked-secret", "TUNE_APP_NOTIFY": notify[0]}
    assert keys.items() <= told["runtime_env"].pop("env_vars").items()
    assert f"job_runner '{s3_url}?{query}' {job.id}" in told["entrypoint"]
    assert "marked-secret" not in json.dumps(told) + str(jobs.records.get(job.id)) + jobs.records.log_path(job.id)


@contextmanager
def _job_server(
    known: list[dict[str, Any]], status: int = 200, asked: list[dict[str, Any]] | None = None
) -> Iterator[str]:
    """A server that answers like Ray's, knows these jobs, and appends submitted ones to `asked`."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert asked is not None
            asked.append(content)
            self._answer({"job_id": None, "submission_id": content["submission_id"]})

        def do_GET(self) -> None:
            version = {"version": "4", "ray_version": "2.60.0", "ray_commit": "", "session_name": ""}
            self._answer(version if self.path == "/api/version" else known)

        def _answer(self, document: Any) -> None:
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *given: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _of_job(shell: Any, job: Job) -> list[int]:
    return _processes(f"job_runner {shell.store} {job.id}") + _processes(f"--store {shell.store} ")


def _processes(text: str) -> list[int]:
    """Python processes with `text` in their command line, without the shells around them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in command and command.startswith(sys.executable):
            found.append(int(path.parent.name))
    return found


def _own_address() -> str:
    """An address of this machine that is not loopback; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


def test_only_the_thread_that_sends_a_package_hides_its_messages(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger(jobs_module.PACKAGE_LOGGERS[0])
    with caplog.at_level(logging.INFO, logger.name):
        with jobs_module._untold_packages():
            logger.info("mine")
            logger.error("broken")
            other = Thread(target=logger.info, args=("another's",))
            other.start()
            other.join()
        logger.info("later")
    assert caplog.messages == ["broken", "another's", "later"]
