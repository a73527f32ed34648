"""A job's states and its record."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_app.errors import InputError
from tune_app.jobs.job import END_STATES, NEXT, STATES, Job, read_job

MakeJob = Callable[..., Job]


@given(wanted=st.lists(st.sampled_from(STATES), max_size=8))
def test_only_allowed_states_follow_and_nothing_leaves_an_end_state(new_job: MakeJob, wanted: list[str]) -> None:
    job = new_job()
    seen = [job.state]
    for state in wanted:
        if state in NEXT[job.state]:
            job = job.moved(state)
            seen.append(state)
        else:
            with pytest.raises(InputError, match=f"is {job.state} and cannot become {state}"):
                job.moved(state)
    assert len(seen) <= 3
    assert not any(state in END_STATES for state in seen[:-1])
    assert job.ended == (job.state in END_STATES)
    assert (job.started_at is not None) == ("RUNNING" in seen)
    assert (job.ended_at is not None) == job.ended
    assert read_job(job.to_json(), "here") == job


def test_the_states_are_those_of_the_design() -> None:
    assert STATES == ("QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED")
    assert END_STATES == ("SUCCEEDED", "FAILED", "CANCELLED")


def test_a_record_says_why_it_ended(new_job: MakeJob) -> None:
    job = new_job().moved("RUNNING").moved("FAILED", reason="lost", message="the head is gone", exit_code=1)
    assert (job.reason, job.message, job.exit_code) == ("lost", "the head is gone", 1)


@pytest.mark.parametrize(
    "change",
    [{"schema_version": 2}, {"state": "PAUSED"}, {"kind": "dance"}],
)
def test_an_invalid_record_is_rejected_with_its_place(new_job: MakeJob, change: dict[str, Any]) -> None:
    document = json.loads(new_job().to_json()) | change
    with pytest.raises(InputError, match=r"must be") as caught:
        read_job(json.dumps(document).encode(), "jobs/x/job.json")
    assert caught.value.where == "jobs/x/job.json"


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"schema_version": 1}'])
def test_a_damaged_record_is_refused(content: bytes) -> None:
    with pytest.raises(InputError, match="must be the record of a job"):
        read_job(content, "here")
