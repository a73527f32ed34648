"""Events: numbered, taken only from the log, none missed, none repeated."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tune_app.folder import RemoteFolder
from tune_app.jobs.job_store import JobStore
from tune_app.moment import now
from tune_app.store.columns import column_types
from tune_app.store.study_writer import StudyWriter
from tune_app.store.trial_row import TrialRow, TrialState
from tune_app.tasks import load_task

VARIABLES = load_task("image_cnn").variables
CONFIG = {v.name: v.default for v in VARIABLES}


def listen(client: httpx.Client, job_id: str, after: int | None = None) -> ClientConnection:
    """A WebSocket with the events of a job."""
    query = "" if after is None else f"?after={after}"
    # No limit on the queue: a client that disconnects with a full queue misses the server's close.
    return connect(f"ws://{client.base_url.netloc.decode()}/jobs/{job_id}/events{query}", max_queue=None)


def all_of(client: httpx.Client, job_id: str, after: int | None = None) -> list[dict[str, Any]]:
    """The events until the server closes."""
    with listen(client, job_id, after) as socket:
        found = [json.loads(message) for message in socket]
        assert socket.close_code == 1000
        return found


def epoch(trial: int, number: int) -> dict[str, Any]:
    return {"trial": trial, "epoch": number, "ended_at": now(), "duration_s": 0.1, "metric/val_accuracy": number / 10}


def test_events_come_in_order_and_end_with_the_job(client: httpx.Client) -> None:
    events = all_of(client, "ended-1")
    assert [event["number"] for event in events] == list(range(1, len(events) + 1))
    kinds = [event["type"] for event in events]
    assert kinds == [
        *("trial_started", "epoch", "epoch", "trial_ended"),
        *("trial_started", "epoch", "trial_ended"),
        *("trial_started", "epoch", "epoch", "trial_ended"),
        *("trial_started", "trial_ended"),
        *("trial_started", "epoch", "epoch", "trial_ended"),
        "job_ended",
    ]
    assert events[0]["configuration"]["training"]["batch_size"] == 500
    assert (events[1]["epoch"], events[1]["metrics"]["val_loss"]) == (1, 1.0)
    assert (events[3]["state"], events[3]["objective"]) == ("COMPLETED", pytest.approx(0.9))
    assert (events[-1]["state"], events[-1]["exit_code"]) == ("SUCCEEDED", 0)


def test_a_client_that_reconnects_anywhere_misses_nothing(client: httpx.Client) -> None:
    events = all_of(client, "ended-1")
    for cut in range(len(events) + 1):
        assert all_of(client, "ended-1", after=cut) == events[cut:]


def test_events_arrive_live_and_over_several_connections(client: httpx.Client, place: Any) -> None:
    """A client that drops its connection every few events sees each event of the log exactly once."""
    job = place.add_job("live", "RUNNING")
    study = place.store.folder
    study.write(f"studies/{job.study}/spec.yaml", study.read("studies/ended-1/spec.yaml"))
    opened = place.store.study(job.study)

    def write() -> None:
        with StudyWriter(opened, opened.history(), column_types(VARIABLES)) as writer:
            writer.sweep_started(trials=8)
            for trial in range(8):
                writer.trial_started(trial, f"{job.study}-{trial:05d}", CONFIG, trial, 1)
                time.sleep(0.05)
                writer.epochs([epoch(trial, 1), epoch(trial, 2)])
                writer.epochs([epoch(trial, 3)])
                at = now()
                writer.trial_ended(TrialRow(trial, "x", TrialState.COMPLETED, 3, at, at, 0.1, 0, 1, objective=0.3))
            writer.sweep_ended(reason=None, message=None)
        place.records.end(job.id, "SUCCEEDED", code=0)

    writing = threading.Thread(target=write)
    seen: list[dict[str, Any]] = []
    with listen(client, job.id) as socket:  # before there are any events
        writing.start()
        seen.append(json.loads(socket.recv(10)))
    connections = 1
    while not seen or seen[-1]["type"] != "job_ended":
        connections += 1
        with listen(client, job.id, after=seen[-1]["number"]) as socket:
            seen += [json.loads(socket.recv(10)) for _ in range(2 if seen[-1]["number"] < 37 else 1)]
    writing.join()
    assert connections > 10
    assert [event["number"] for event in seen] == list(range(1, 8 * 5 + 2))
    assert seen == all_of(client, job.id)
    told = [(event["trial"], event["epoch"]) for event in seen if event["type"] == "epoch"]
    assert told == [(trial, number) for trial in range(8) for number in (1, 2, 3)]


def test_events_of_a_later_resume_do_not_belong_to_the_job(client: httpx.Client, place: Any) -> None:
    before = all_of(client, "failed-1")
    study = place.store.study("failed-1")
    with StudyWriter(study, study.history(), column_types(VARIABLES)) as writer:
        writer.sweep_started(trials=1)
        writer.trial_started(7, "failed-1-00007", CONFIG, 1, 1)
    assert all_of(client, "failed-1") == before


def test_a_partial_line_is_sent_once_it_is_complete(client: httpx.Client, place: Any) -> None:
    job = place.add_job("torn", "RUNNING", study="torn-1")
    folder = place.store.folder
    folder.write("studies/torn-1/spec.yaml", folder.read("studies/ended-1/spec.yaml"))
    log = folder.read("studies/ended-1/events.jsonl")
    start, rest = log[: log.index(b"trial_started") + 30], log[log.index(b"trial_started") + 30 :]
    folder.append("studies/torn-1/events.jsonl", start)
    with listen(client, job.id) as socket:
        with pytest.raises(TimeoutError):
            socket.recv(0.8)
        folder.write("trials/study=torn-1/data.parquet", folder.read("trials/study=ended-1/data.parquet"))
        folder.append("studies/torn-1/events.jsonl", rest)
        assert json.loads(socket.recv(5))["type"] == "trial_started"


def test_a_training_has_only_its_end_event(client: httpx.Client, place: Any) -> None:
    job = place.add_job("train-mine", "FAILED", kind="training", study=None)
    (event,) = all_of(client, job.id)
    assert (event["number"], event["type"], event["state"], event["reason"]) == (1, "job_ended", "FAILED", "error")


def test_a_missing_job_and_one_that_is_removed(client: httpx.Client, place: Any) -> None:
    with pytest.raises(InvalidStatus) as caught:
        listen(client, "none-1")
    assert caught.value.response.status_code == 404
    assert json.loads(caught.value.response.body or b"")["error"]["code"] == "not_found"
    job = place.add_job("going", "QUEUED")
    with listen(client, job.id) as socket:
        place.records.remove(job.id)
        with pytest.raises(ConnectionClosed):
            socket.recv(10)
        assert (socket.close_code, "no job `going-1`" in str(socket.close_reason)) == (4404, True)


@pytest.mark.parametrize("after", ["-1", "x", "1e3"])
def test_an_invalid_event_number(client: httpx.Client, after: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        connect(f"ws://{client.base_url.netloc.decode()}/jobs/ended-1/events?after={after}")
    assert caught.value.response.status_code == 422
    assert json.loads(caught.value.response.body or b"")["error"]["where"] == "query.after"


def test_on_s3_only_the_new_part_of_the_log_is_read(
    s3_url: str, serve: Any, place: Any, make_study: Any, make_spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(s3_url, replace(make_spec(), name="live-1"))
    copied = place.add_job("live-s3", "RUNNING", study="live-1")
    folder, log = study.folder, f"{study.base}/events.jsonl"
    records = JobStore(folder)
    job = records.create("live-s3", lambda run: replace(copied, run=run, host="elsewhere"))
    records.beat(job.id)
    read: list[int] = []
    whole, piece = RemoteFolder._read, RemoteFolder._read_range

    def counted(content: bytes | None, name: str) -> bytes | None:
        if name.startswith(log) and content:
            read.append(len(content))
        return content

    monkeypatch.setattr(RemoteFolder, "_read", lambda *given: counted(whole(*given), given[1]))
    monkeypatch.setattr(RemoteFolder, "_read_range", lambda *given: counted(piece(*given), given[1]))
    line = folder.read(log).splitlines(keepends=True)[2]
    assert json.loads(line)["type"] == "epochs"
    with serve(replace(place.settings, store=s3_url)) as client, listen(client, job.id) as socket:
        while json.loads(socket.recv(10))["trial"] != 4:
            pass
        while json.loads(socket.recv(10))["type"] != "trial_ended":
            pass
        for change in (folder.merge, lambda name: None):
            time.sleep(0.6)  # the server polls twice
            change(log)
            read.clear()
            folder.append(log, line)
            assert json.loads(socket.recv(10))["type"] == "epoch"
            time.sleep(0.6)
            assert sum(read) == len(line)
