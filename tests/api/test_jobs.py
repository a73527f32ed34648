"""Jobs over HTTP: submit, list, inspect, cancel, remove."""

from __future__ import annotations

import dataclasses
import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tune_app.jobs import jobs as jobs_module
from tune_app.jobs.job_request import JobRequest
from tune_app.jobs.jobs import Jobs

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "YIELD_S", 0.2)


@pytest.fixture(scope="module")
def space(make_spec: Any) -> dict[str, Any]:
    """A search space as it appears in a request."""
    document: dict[str, Any] = make_spec().to_dict()
    return document


def submitted(client: httpx.Client, place: Any, **asked: Any) -> Any:
    """Submit a job and return its record; Ray is unreachable, so it never runs."""
    response = client.post("/jobs", json=asked)
    assert response.status_code == 202, response.text
    told = response.json()
    assert response.headers["Location"] == f"/jobs/{told['id']}"
    assert told["state"] == "QUEUED"
    return place.records.get(told["id"])


def refused(response: httpx.Response, status: int, code: str) -> dict[str, str]:
    """The error in a response, which must have the standard keys."""
    assert response.status_code == status, response.text
    document = response.json()
    assert set(document) == {"error"}
    assert set(document["error"]) == {"code", "message", "where", "hint"}
    assert document["error"]["code"] == code
    return dict(document["error"])


def test_a_sweep_of_a_space_on_the_server(client: httpx.Client, place: Any) -> None:
    overrides = {
        "trials": 3,
        "time": "30m",
        "sampler": "random",
        "set": {"training.batch_size": 100},
        "start_from": ["mine"],
    }
    job = submitted(client, place, kind="sweep", search_space="small", overrides=overrides, fuse=False)
    kept = yaml.safe_load(job.request["space"])
    assert (job.kind, job.space, job.study) == ("sweep", "digits-small", job.id)
    assert (kept["budget"]["trials"], kept["budget"]["time"], kept["search"]["sampler"]) == (3, 1800, "random")
    assert kept["parameters"]["training"]["batch_size"] == 100
    assert (list(job.request["profiles"]), job.request["preflight"], job.request["fuse"]) == (["mine"], True, False)
    assert job.requested_by == "127.0.0.1 over HTTP"


@pytest.mark.parametrize("form", [dict, yaml.safe_dump])
def test_a_sweep_of_a_space_that_comes_with_the_request(
    client: httpx.Client, place: Any, space: dict[str, Any], form: Callable[[Any], Any]
) -> None:
    job = submitted(client, place, kind="sweep", space=form({**space, "name": "inline"}))
    assert yaml.safe_load(job.request["space"])["parameters"] == space["parameters"]
    assert job.space == "inline"


@pytest.mark.parametrize("source", [{"profile": "mine"}, {"study": "ended-1", "trial": 2}, {"study": "ended-1"}])
def test_a_training(client: httpx.Client, place: Any, source: dict[str, Any]) -> None:
    job = submitted(client, place, kind="training", **source, epochs=3, set={"training.learning_rate": 0.03})
    profile = yaml.safe_load(job.request["profile"])
    assert (job.kind, job.study, job.request["epochs"]) == ("training", None, 3)
    assert profile["config"]["training"]["learning_rate"] == 0.03
    assert profile["provenance"]["trial"] == source.get("trial", 0)


def test_a_job_that_ray_does_not_accept_fails_and_says_why(client: httpx.Client, place: Any) -> None:
    job = submitted(client, place, kind="training", profile="mine")
    deadline = time.monotonic() + 20
    while (found := client.get(f"/jobs/{job.id}").json())["state"] == "QUEUED":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (found["state"], found["reason"]) == ("FAILED", "error")
    assert "no job server answers" in found["message"]


@pytest.mark.parametrize(
    ("asked", "where", "said"),
    [
        ([], "body", "`body` must be a JSON object, but got []"),
        ({}, "body.kind", "`kind` must be sweep or training, but got nothing"),
        ({"kind": "swep"}, "body.kind", "`kind` must be sweep or training, but got 'swep'"),
        ({"kind": "sweep"}, "body", "either `search_space` or `space`"),
        ({"kind": "sweep", "search_space": "small", "space": {}}, "body", "either `search_space` or `space`"),
        ({"kind": "sweep", "search_space": "small", "colour": 1}, "body.colour", "no key `colour`"),
        ({"kind": "sweep", "search_space": 3}, "body.search_space", "must be a valid string, but got 3"),
        (
            {"kind": "sweep", "search_space": "small", "overrides": {"start_from": [3]}},
            "body.overrides.start_from.0",
            "`start_from` must be a valid string",
        ),
        ({"kind": "training"}, "body", "either `profile` or `study`"),
        ({"kind": "training", "profile": "mine", "trial": 1}, "body", "`trial` requires `study`"),
        ({"kind": "training", "profile": "mine", "epochs": 0}, "body.epochs", "must be greater than or equal"),
    ],
)
def test_a_malformed_request(client: httpx.Client, asked: Any, where: str, said: str) -> None:
    error = refused(client.post("/jobs", json=asked), 422, "invalid")
    assert error["where"] == where
    assert said in error["message"]


def test_a_typo_gets_the_nearest_name_as_a_hint(client: httpx.Client) -> None:
    asked = {"kind": "sweep", "search_space": "small", "overrides": {"tirals": 3}}
    for response, where, near in (
        (client.post("/jobs", json=asked), "body.overrides.tirals", "trials"),
        (client.post("/jobs", json={"kind": "trainin"}), "body.kind", "training"),
        (client.get("/jobs", params={"stat": "FAILED"}), "query.stat", "state"),
        (client.delete("/jobs/ended-1", params={"with_studies": "true"}), "query.with_studies", "with_study"),
    ):
        error = refused(response, 422, "invalid")
        assert (error["where"], error["hint"].partition("?")[0]) == (where, f"did you mean `{near}`")
    assert refused(client.get("/healthz", params={"full": 1}), 422, "invalid")["hint"] == "this path has none"


@pytest.mark.parametrize(
    ("change", "overrides", "where", "said", "hint"),
    [
        ({"budget": {"trails": 3}}, {}, "body.space budget.trails", "`trails`", "did you mean `trials`?"),
        ({}, {"trials": 0}, "override budget.trials", "`trials` must be greater", "trials: How many"),
        ({}, {"sampler": "tpo"}, "override search.sampler", "`sampler` must be one of", "did you mean `tpe`?"),
        (
            {},
            {"set": {"training.momentun": 1}},
            "override parameters.training.momentun",
            "variable of the task",
            "did you mean `momentum`",
        ),
        ({"name": "half a \ud800 pair"}, {}, "body.space name", "must be Unicode", ""),
        ({"notify": "http://10.0.0.1/x"}, {}, "body.space notify", "is not allowed over HTTP", "TUNE_APP_NOTIFY"),
        ({}, {"start_from": ["nobody"]}, "search.start_from", "must list profiles or studies", "mine"),
    ],
)
def test_an_invalid_space(
    client: httpx.Client, space: dict[str, Any], change: Any, overrides: Any, where: str, said: str, hint: str
) -> None:
    asked = {"kind": "sweep", "space": {**space, **change}, "overrides": overrides}
    response = client.post("/jobs", content=json.dumps(asked), headers={"Content-Type": "application/json"})
    error = refused(response, 422, "invalid")
    assert error["where"] == where
    assert said in error["message"]
    assert hint in error["hint"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"kind": "sweep", "search_space": "smal"}, "there is no search space `smal`"),
        ({"kind": "sweep", "search_space": "../profiles/mine"}, "there is no search space"),
        ({"kind": "training", "profile": "yours"}, "there is no profile `yours`"),
        ({"kind": "training", "study": "nothing"}, "there is no study `nothing`"),
        ({"kind": "training", "study": "ended-1", "trial": 99}, "has no trial 99"),
    ],
)
def test_a_missing_space_profile_study_or_trial(client: httpx.Client, asked: dict[str, Any], said: str) -> None:
    assert said in refused(client.post("/jobs", json=asked), 404, "not_found")["message"]


def test_a_link_out_of_the_search_space_folder_is_ignored(client: httpx.Client, place: Any) -> None:
    (place.root / "outside.yaml").write_text("name: outside")
    (place.root / "search_spaces" / "linked.yaml").symlink_to(place.root / "outside.yaml")
    assert "linked" not in [line["search_space"] for line in client.get("/search-spaces").json()]
    refused(client.post("/jobs", json={"kind": "sweep", "search_space": "linked"}), 404, "not_found")


def test_a_study_name_that_is_taken(client: httpx.Client) -> None:
    asked = {"kind": "sweep", "search_space": "small", "overrides": {"name": "ended-1"}}
    error = refused(client.post("/jobs", json=asked), 409, "conflict")
    assert "the study `ended-1` exists" in error["message"]
    assert "--" not in error["hint"], "a command-line option does not help an HTTP client"


@pytest.mark.parametrize("edits", [{"training.momentun": 1}, {"training.learning_rate": -1}])
def test_an_invalid_edit_is_reported_with_its_place(client: httpx.Client, edits: dict[str, Any]) -> None:
    source = {"study": "ended-1", "set": edits}
    for response in (
        client.post("/jobs", json={"kind": "training", **source}),
        client.post("/session", json=source),
        client.put("/profiles/edited", json={"source": {"study": "ended-1"}, "set": edits}),
    ):
        assert refused(response, 422, "invalid")["where"].startswith("body.set training.")


def test_the_list_is_filtered_and_paged_latest_first(client: httpx.Client, place: Any) -> None:
    everything = client.get("/jobs").json()
    assert everything["total"] == len(everything["items"]) == len(place.records.all())
    times = [job["requested_at"] for job in everything["items"]]
    assert times == sorted(times, reverse=True)
    running = client.get("/jobs", params={"state": "RUNNING"}).json()
    assert [job["id"] for job in running["items"]] == ["running-1"]
    assert running["items"][0]["progress"] == {
        "ended": 5, "total": 9, "running": 1, "best": {"trial": 0, "objective": 0.9}, "left_s": 12.5,
    }  # fmt: skip
    two = client.get("/jobs", params={"state": ["SUCCEEDED", "FAILED"], "kind": "sweep", "space": "failed"}).json()
    assert [job["id"] for job in two["items"]] == ["failed-1"]
    page = client.get("/jobs", params={"offset": 1, "limit": 2}).json()
    assert page["items"] == everything["items"][1:3]
    assert page["total"] == everything["total"]
    refused(client.get("/jobs", params={"limit": 0}), 422, "invalid")
    assert refused(client.get("/jobs", params={"state": "running"}), 422, "invalid")["where"].startswith("query.state")


def test_a_damaged_record_is_named_and_hides_no_others(client: httpx.Client, place: Any) -> None:
    folder = place.root / "results" / "jobs" / "torn-1"
    folder.mkdir()
    (folder / "job.json").write_text("{")
    try:
        found = client.get("/jobs").json()
        assert "torn-1/job.json" in found["damaged"][0]
        assert "ended-1" in [job["id"] for job in found["items"]]
        refused(client.get("/jobs/torn-1"), 422, "invalid")
    finally:
        (folder / "job.json").unlink()
        folder.rmdir()


def test_a_job_always_matches_its_record(client: httpx.Client, place: Any) -> None:
    job = place.add_job("changing", "RUNNING")
    found = client.get(f"/jobs/{job.id}").json()
    assert {key: value for key, value in found.items() if key != "progress"} == dataclasses.asdict(job)
    place.records.end(job.id, "FAILED", reason="error", message="broke")
    assert client.get(f"/jobs/{job.id}").json()["message"] == "broke"


@pytest.mark.parametrize("job_id", ["none-1", "..%2f..%2fprofiles", "%00", "A" * 200])
def test_a_missing_job(client: httpx.Client, job_id: str) -> None:
    for suffix in ("", "/logs", "/trials", "/trials/0", "/best-model", "/best-model/download"):
        refused(client.get(f"/jobs/{job_id}{suffix}"), 404, "not_found")


def test_a_jobs_log_is_read_in_parts(client: httpx.Client) -> None:
    whole = client.get("/jobs/ended-1/logs")
    assert whole.text == "ended-1 speaks\nsecond line\n"
    assert whole.headers["content-type"].startswith("text/plain")
    first = client.get("/jobs/ended-1/logs", params={"limit": 1})
    assert first.text == "ended-1 speaks\n"
    rest = client.get("/jobs/ended-1/logs", params={"start": first.headers["Next-Start"]})
    assert first.text + rest.text == whole.text
    assert client.get("/jobs/ended-1/logs", params={"start": 10**6}).text == ""
    last = client.get("/jobs/ended-1/logs", params={"limit": 1, "tail": True})
    assert (last.text, last.headers["Next-Start"]) == ("second line\n", str(len(whole.text)))
    both = client.get("/jobs/ended-1/logs", params={"start": 6, "tail": True})
    assert (both.text, both.headers["Next-Start"]) == (whole.text[6:], str(len(whole.text)))
    assert client.get("/jobs/ended-1/logs", params={"start": 10**6, "tail": True}).text == ""


def test_many_readers_of_a_long_log_take_little_memory(client: httpx.Client, place: Any) -> None:
    job = place.add_job("talkative", "RUNNING")
    log = Path(place.records.log_path(job.id))
    with log.open("ab") as file:
        file.truncate(100_000_000)
        file.seek(0, 2)
        file.write(b"\nthe end\n")

    def ask(number: int) -> int:
        asked = {"limit": 2, "tail": number % 2 == 0}
        return len(client.get(f"/jobs/{job.id}/logs", params=asked).content)

    tracemalloc.start()
    with ThreadPoolExecutor(30) as threads:
        sizes = set(threads.map(ask, range(30)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert max(sizes) <= 1_000_000
    assert peak < 200_000_000, "30 readers of a line of 100 MB"


def test_cancelling_returns_at_once_and_never_changes_an_ended_job(client: httpx.Client, place: Any) -> None:
    job = place.add_job("stopping", "RUNNING")
    response = client.post(f"/jobs/{job.id}/cancel")
    assert (response.status_code, response.json()["id"]) == (202, job.id)
    assert place.records.asked_to_stop(job.id) == "127.0.0.1 over HTTP"
    place.records.end(job.id, "CANCELLED", reason="cancelled", message="cancelled")
    assert client.post(f"/jobs/{job.id}/cancel").json()["state"] == "CANCELLED"
    refused(client.post("/jobs/ended-1/cancel"), 409, "conflict")
    refused(client.post("/jobs/none-1/cancel"), 404, "not_found")


@pytest.fixture
def finished(place: Any, make_study: Any, make_spec: Any) -> Iterator[str]:
    """A job that ended, with its study."""
    make_study(place.root / "results", dataclasses.replace(make_spec(), name="old-1"))
    yield place.add_job("old", "SUCCEEDED", study="old-1").id
    place.store.folder.remove("studies/old-1")


def test_removing_keeps_the_study_unless_asked(client: httpx.Client, place: Any, finished: str) -> None:
    refused(client.delete("/jobs/running-1"), 409, "conflict")
    assert client.get(f"/jobs/{finished}/trials").json()["total"] == 5
    assert client.delete(f"/jobs/{finished}").status_code == 204
    refused(client.get(f"/jobs/{finished}"), 404, "not_found")
    refused(client.delete(f"/jobs/{finished}"), 404, "not_found")
    assert "old-1" in place.store.studies()
    again = place.add_job("old", "SUCCEEDED", study="old-1").id
    assert client.delete(f"/jobs/{again}", params={"with_study": True}).status_code == 204
    assert "old-1" not in place.store.studies()


def test_only_one_of_several_concurrent_removals_succeeds(client: httpx.Client, place: Any) -> None:
    for _ in range(5):
        job = place.add_job("gone", "SUCCEEDED", study=None)
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(lambda _, path=f"/jobs/{job.id}": client.delete(path).status_code, range(4)))
        assert sorted(answers) == [204, 404, 404, 404]


def test_a_job_that_an_earlier_server_accepted_is_submitted_or_cancelled(
    tmp_path: Path, make_place: Any, serve: Any
) -> None:
    place = make_place(tmp_path)
    accepted = [
        Jobs(place.store).accept(
            JobRequest("training", "train-late", None, {"profile": ""}), address=place.settings.address, by=by
        )
        for by in ("127.0.0.1 over HTTP", "someone@here")
    ]
    with serve(place.settings) as client:
        deadline = time.monotonic() + 20
        while (found := client.get(f"/jobs/{accepted[0].id}").json())["state"] == "QUEUED":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert "no job server answers" in found["message"], "the submission was tried"
        waiting = client.get(f"/jobs/{accepted[1].id}").json()
        assert waiting["state"] == "QUEUED", "the command that requested it may still submit it"
        began = time.monotonic()
        assert client.post(f"/jobs/{accepted[1].id}/cancel").json()["state"] == "CANCELLED"
        assert time.monotonic() - began < 3


def test_a_study_that_takes_the_name_of_a_removed_one_is_shown(
    client: httpx.Client, place: Any, finished: str, make_study: Any, make_spec: Any
) -> None:
    assert client.get(f"/jobs/{finished}/trials").json()["total"] == 5
    jobs_module.Jobs(place.store).purge(place.records.get(finished), study=True)  # e.g. from the command line
    make_study(place.store.folder.url, dataclasses.replace(make_spec(), name="old-1"), ends=("PRUNED",))
    again = place.add_job("old", "SUCCEEDED", study="old-1").id
    assert [trial["state"] for trial in client.get(f"/jobs/{again}/trials").json()["items"]] == ["PRUNED"]


def test_an_unknown_method_or_path(client: httpx.Client) -> None:
    for path, methods in (("/jobs", "GET, POST"), ("/profiles/mine", "DELETE, GET, PUT"), ("/docs", "GET, HEAD")):
        response = client.patch(path)
        assert refused(response, 405, "method_not_allowed")["hint"] == f"Valid: {methods}"
        assert response.headers["Allow"] == methods
    assert refused(client.get("/job"), 404, "not_found")["where"] == "GET /job"


def test_a_body_that_is_not_json(client: httpx.Client) -> None:
    for content in (b"{", b"\xff\xfe", b"[" * 100_000, b'{"kind": ' + b"9" * 5000 + b"}"):
        response = client.post("/jobs", content=content, headers={"Content-Type": "application/json"})
        assert response.status_code in (400, 422), response.text
        assert set(response.json()["error"]) == {"code", "message", "where", "hint"}


@pytest.mark.parametrize("key", ["\ud800", "over\udce9rides"])
def test_an_unknown_key_that_is_not_unicode_is_rejected(client: httpx.Client, key: str) -> None:
    body = json.dumps({"kind": "sweep", "search_space": "digits_cnn", key: 1})
    told = refused(client.post("/jobs", content=body, headers={"Content-Type": "application/json"}), 422, "invalid")
    assert "valid Unicode" in told["message"]
