"""The commands for jobs, in process and without Ray."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tune_app.cli import main as cli_main
from tune_app.jobs.job import Job
from tune_app.jobs.job_request import JobRequest
from tune_app.jobs.jobs import Jobs
from tune_app.store.study import Study

MakeJob = Callable[..., Job]
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tune_app(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Command:
    """Run the command in process; returns exit code, stdout, stderr."""
    monkeypatch.setenv("TUNE_APP_STORE", jobs.store.folder.url)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli_main.run(list(arguments))
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def ended(jobs: Jobs, new_job: MakeJob) -> list[Job]:
    """A job that succeeded, one that failed, and one that is queued."""
    for _ in range(3):
        jobs.records.create("digits", new_job)
    jobs.records.add_to_log("digits-2", b"epoch 1\nerror: it broke\n")
    jobs.records.end("digits-1", "SUCCEEDED", code=0)
    jobs.records.end("digits-2", "FAILED", reason="error", message="it broke", code=1)
    return jobs.all()


@pytest.mark.usefixtures("ended")
def test_list_and_status(tune_app: Command) -> None:
    code, out, _ = tune_app("jobs", "list")
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [
        ["digits-1", "SUCCEEDED"], ["digits-2", "FAILED"], ["digits-3", "QUEUED"],
    ]  # fmt: skip
    rows = json.loads(tune_app("jobs", "list", "--state", "failed", "--json")[1])
    assert [(row["id"], row["reason"], row["run"], row["progress"]) for row in rows] == [("digits-2", "error", 2, None)]
    code, out, _ = tune_app("jobs", "status", "digits-2")
    assert code == 0
    assert "message       it broke" in out
    assert json.loads(tune_app("jobs", "status", "digits-2", "--json")[1]) == rows[0]
    assert tune_app("jobs", "logs", "digits-2")[1] == "epoch 1\nerror: it broke\n"
    assert tune_app("jobs", "logs", "digits-1", "--follow")[1] == ""


def test_an_empty_store(tune_app: Command, jobs: Jobs) -> None:
    assert "no jobs in" in tune_app("jobs", "list")[1]
    assert json.loads(tune_app("jobs", "list", "--json")[1]) == []
    assert "no job that is SUCCEEDED or FAILED or CANCELLED is older than 7d" in tune_app("jobs", "purge")[1]
    assert not Path(jobs.store.folder.url).exists()


@pytest.mark.usefixtures("ended")
def test_purge_shows_first_and_removes_with_yes(tune_app: Command, jobs: Jobs) -> None:
    assert "is older than 7d" in tune_app("jobs", "purge")[1]
    assert (
        "no job that is CANCELLED is older" in tune_app("jobs", "purge", "--older-than", "0", "--state", "cancelled")[1]
    )
    _, out, _ = tune_app("jobs", "purge", "--older-than", "0")
    assert "would remove 2 jobs; pass --yes to remove" in out
    assert len(jobs.records.ids()) == 3
    found = json.loads(tune_app("jobs", "purge", "--older-than", "0", "--state", "FAILED", "--json")[1])
    assert (found["removed"], [row["id"] for row in found["jobs"]]) == (False, ["digits-2"])
    _, out, _ = tune_app("jobs", "purge", "--older-than", "0", "--yes")
    assert "removed 2 jobs; their results are kept" in out
    assert jobs.records.ids() == ["digits-3"]


@pytest.mark.usefixtures("ended")
def test_purge_skips_a_study_that_is_being_written(tune_app: Command, jobs: Jobs) -> None:
    with Study(jobs.store.folder, "digits-1").writing():
        code, out, err = tune_app("jobs", "purge", "--older-than", "0", "--with-studies", "--yes")
    assert (code, jobs.records.ids()) == (2, ["digits-1", "digits-3"])
    assert "removed 1 job with their results" in out
    assert "digits-1" in err


def test_a_study_belongs_to_the_last_job_requested_under_its_name(tune_app: Command, jobs: Jobs) -> None:
    request = JobRequest("sweep", "digits", "mine", {})
    lost = jobs.accept(request)
    jobs.records.end(lost.id, "FAILED", reason="lost")
    second = jobs.accept(request)
    written = jobs.store.folder
    written.write("studies/mine/spec.yaml", b"name: mine")
    written.write(f"trainings/{lost.id}/metrics.json", b"{}")  # a manual training has the same name
    assert (jobs.get(lost.id).study, jobs.records.get(second.id).study) == (None, "mine")
    assert tune_app("jobs", "purge", "--older-than", "0", "--state", "failed", "--with-studies", "--yes")[0] == 0
    assert written.exists("studies/mine/spec.yaml")
    assert written.exists(f"trainings/{lost.id}/metrics.json")


@pytest.mark.usefixtures("ended")
def test_a_damaged_record_is_reported(tune_app: Command, jobs: Jobs) -> None:
    jobs.records.folder.write("jobs/digits-2/job.json", b"{")
    code, out, err = tune_app("jobs", "list", "--json")
    assert (code, [row["id"] for row in json.loads(out)]) == (0, ["digits-1", "digits-3"])
    assert "digits-2/job.json" in err


@pytest.mark.usefixtures("ended")
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["submit"], "pass one of SPACE, --profile, --trial, but got none"),
        (["submit", "space.yaml", "--profile", "fine"], "but got SPACE and --profile"),
        (["submit", "--profile", "fine", "--trials", "3", "--pruning", "off"], "but got --trials, --pruning"),
        (
            ["submit", "--profile", "fine", "--start-from", "x"],
            "does not accept sweep options, but got --start-from",
        ),
        (["submit", "--profile", "fine"], "there is no profile `fine`"),
        (["submit", "missing.yaml"], "missing.yaml"),
        (["jobs", "status", "digit-1"], "there is no job `digit-1`"),
        (["jobs", "logs", "../x"], "there is no job `../x`"),
        (
            ["jobs", "cancel", "digits-2"],
            "can be cancelled, but `digits-2` is FAILED",
        ),
        (["jobs", "list", "--state", "done"], "there is no state `done`"),
        (["jobs", "purge", "--state", "queued"], "only ended jobs can be removed"),
        (["jobs", "purge", "--older-than", "soon"], "`--older-than` must be a time"),
    ],
)
def test_a_users_mistake_is_reported_in_two_lines(tune_app: Command, arguments: list[str], error: str) -> None:
    code, out, err = tune_app(*arguments)
    assert (code, out) == (2, "")
    assert error in err
    assert 1 <= len(err.splitlines()) <= 2


@pytest.mark.parametrize(
    ("state", "reason", "code"), [("SUCCEEDED", None, 0), ("FAILED", "error", 1), ("CANCELLED", "cancelled", 130)]
)
def test_waiting_exits_with_the_jobs_code(
    tune_app: Command,
    jobs: Jobs,
    new_job: MakeJob,
    monkeypatch: pytest.MonkeyPatch,
    make_spec: Any,
    state: str,
    reason: str | None,
    code: int,
) -> None:
    def submit(self: Jobs, request: Any, **given: Any) -> Job:
        job = jobs.records.create("digits", lambda run: new_job(run, request=request.content))
        jobs.records.add_to_log(job.id, b"it ran\n")
        jobs.records.end(job.id, state, reason=reason, message=reason)
        return job

    monkeypatch.setattr(Jobs, "submit", submit)
    Path("space.yaml").write_text(make_spec().to_yaml())
    assert tune_app("submit", "space.yaml")[0] == 0
    got, out, err = tune_app("submit", "space.yaml", "--follow", "--json")
    assert got == code
    assert json.loads(out)["state"] == state
    assert "it ran\n" in err
    assert tune_app("submit", "space.yaml", "--wait")[0] == code
