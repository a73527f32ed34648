"""The jobs of a store, without Ray, including several processes at once."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pyarrow import fs

from tune_app.errors import InputError
from tune_app.folder import LocalFolder, RemoteFolder, open_folder
from tune_app.jobs.job import Job
from tune_app.jobs.job_store import JobStore

MakeJob = Callable[..., Job]
SUBMIT = """
import sys
sys.path.insert(0, {here!r})
from conftest import make_job
from tune_app.jobs.job_store import JobStore
from tune_app.store.store import Store
records = JobStore(Store({root!r}).folder)
for _ in range(5):
    print(records.create("digits", make_job).run)
"""


@pytest.fixture(params=["local", "remote", "s3"])
def any_records(request: pytest.FixtureRequest, tmp_path: Path) -> JobStore:
    """The jobs in a folder and in an object store."""
    if request.param == "local":
        return JobStore(LocalFolder(tmp_path))
    if request.param == "s3":
        return JobStore(open_folder(request.getfixturevalue("s3_url")))
    return JobStore(RemoteFolder("mock://bucket", fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()), "bucket"))


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_processes_that_submit_at_once_get_different_run_numbers(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    root = str(tmp_path) if kind == "local" else request.getfixturevalue("s3_url")
    code = SUBMIT.format(here=str(Path(__file__).parent), root=root)
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    printed = [process.communicate() for process in started]
    assert [error for _, error in printed] == ["", "", ""]
    runs = [int(line) for out, _ in printed for line in out.split()]
    assert sorted(runs) == list(range(1, 16))


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_only_one_of_several_concurrent_claims_gets_a_name(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, new_job: MakeJob
) -> None:
    records = JobStore(open_folder(str(tmp_path) if kind == "local" else request.getfixturevalue("s3_url")))
    jobs = [records.create("digits", lambda run: replace(new_job(run), study="mine")) for _ in range(6)]
    holders: dict[str, Job | None] = {}

    def claim(job: Job) -> None:
        holders[job.id] = records.claim("mine", job.id)

    threads = [threading.Thread(target=claim, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [job_id for job_id, holder in holders.items() if holder is None]
    assert {holder.id for holder in holders.values() if holder is not None} == {winner}
    records.end(winner, "CANCELLED", reason="cancelled", message="")
    assert records.claim("mine", next(job.id for job in jobs if job.id != winner)) is None


def test_runs_are_counted_per_space_and_never_used_twice(any_records: JobStore, new_job: MakeJob) -> None:
    made = [any_records.create("digits", new_job).id for _ in range(2)]
    assert any_records.create("other", lambda run: new_job(run, space="other")).id == "other-1"
    any_records.remove("digits-2")
    assert [*made, any_records.create("digits", new_job).id] == ["digits-1", "digits-2", "digits-3"]
    assert any_records.ids() == ["digits-1", "digits-3", "other-1"]


def test_a_run_number_that_is_taken_is_skipped(any_records: JobStore, new_job: MakeJob) -> None:
    assert any_records.create("digits", new_job, taken=lambda job: job.study in ("digits-1", "digits-2")).run == 3


def test_records_logs_and_requests_to_stop(any_records: JobStore, new_job: MakeJob) -> None:
    job = any_records.create("digits", new_job)
    assert any_records.get("digits-1") == job
    assert any_records.submitted(job.id).submitted_at is not None
    assert any_records.log(job.id) == b""
    any_records.add_to_log(job.id, b"one\n")
    any_records.add_to_log(job.id, b"two\n")
    assert any_records.log(job.id) == b"one\ntwo\n"
    assert any_records.log(job.id, 4) == b"two\n"
    assert any_records.log(job.id, 2, 3) == b"e\nt"
    assert any_records.log(job.id, 100) == any_records.log(job.id, 8, 5) == b""
    assert any_records.first_lines(job.id, 1) == b"one\n"
    assert any_records.first_lines(job.id, 5, start=1) == b"ne\ntwo\n"
    assert any_records.last_lines(job.id, 1) == (b"two\n", 8)
    assert any_records.last_lines(job.id, 9) == (b"one\ntwo\n", 8)
    assert any_records.asked_to_stop(job.id) is None
    any_records.ask_to_stop(job.id, "someone")
    assert any_records.asked_to_stop(job.id) == "someone"
    assert any_records.silence_s(job.id) is None
    any_records.beat(job.id)
    assert 0 <= (any_records.silence_s(job.id) or 0) < 5
    any_records.remove(job.id)
    assert any_records.ids() == []
    assert any_records.log(job.id) == b""


def test_a_clock_that_is_ahead_does_not_count_as_silence(records: JobStore, new_job: MakeJob) -> None:
    job = records.create("digits", new_job)
    ahead = datetime.now(UTC) + timedelta(minutes=5)
    records.folder.write(f"jobs/{job.id}/heartbeat", ahead.isoformat().encode())
    assert records.silence_s(job.id) == 0


def test_the_first_end_counts(records: JobStore, new_job: MakeJob) -> None:
    records.create("digits", new_job)
    records.change("digits-1", lambda job: job.moved("RUNNING"))
    assert records.end("digits-1", "CANCELLED", reason="cancelled").state == "CANCELLED"
    assert records.end("digits-1", "FAILED", reason="lost").state == "CANCELLED"
    assert records.get("digits-1").reason == "cancelled"


def test_concurrent_changes_are_all_kept(any_records: JobStore, new_job: MakeJob) -> None:
    any_records.create("digits", new_job)
    late = threading.Event()

    def change(job: Job) -> Job:
        if not late.is_set():  # another process writes between the read and the write
            late.set()
            JobStore(any_records.folder).end("digits-1", "CANCELLED", reason="cancelled")
        return replace(job, submitted_at="now")

    any_records.change("digits-1", change)
    found = any_records.get("digits-1")
    assert (found.state, found.submitted_at) == ("CANCELLED", "now")


def test_a_job_that_ends_without_having_started(records: JobStore, new_job: MakeJob) -> None:
    records.create("digits", new_job)
    done = records.end("digits-1", "SUCCEEDED", code=0)
    assert done.state == "SUCCEEDED"
    assert done.started_at is not None


@pytest.mark.parametrize("name", ["digits-9", "../digits-1", "", ".counters.json", "a" * 100])
def test_an_unknown_job_is_refused_and_nothing_outside_is_read(records: JobStore, new_job: MakeJob, name: str) -> None:
    with pytest.raises(InputError, match="there is no job") as caught:
        records.get(name)
    assert "submit" in caught.value.hint
    records.create("digits", new_job)
    with pytest.raises(InputError) as caught:
        records.get(name)
    assert "digits-1" in caught.value.hint


def test_a_damaged_record_does_not_hide_the_others(records: JobStore, new_job: MakeJob) -> None:
    for _ in range(2):
        records.create("digits", new_job)
    records.folder.write("jobs/digits-1/job.json", b"{")
    assert [job.id for job in records.all()] == ["digits-2"]
    assert isinstance(records.read()[0], InputError)


def test_an_unchanged_record_is_not_written(records: JobStore, new_job: MakeJob) -> None:
    records.create("digits", new_job)
    path = Path(records.folder.path("jobs/digits-1/job.json"))
    before = path.stat().st_mtime_ns
    records.change("digits-1", lambda job: replace(job))
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_many_writers_of_one_record_lose_no_change(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, new_job: MakeJob
) -> None:
    root = str(tmp_path) if kind == "local" else request.getfixturevalue("s3_url")
    JobStore(open_folder(root)).create("digits", new_job)
    begin = threading.Barrier(4)

    def add_marks() -> None:
        records = JobStore(open_folder(root))  # as a separate process would
        begin.wait()
        for _ in range(5):
            records.change("digits-1", lambda job: replace(job, message=f"{job.message or ''}x"))

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(add_marks) for _ in range(4)]:
            done.result()
    assert JobStore(open_folder(root)).get("digits-1").message == "x" * 20
