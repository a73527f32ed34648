"""Trials and the best model over HTTP."""

from __future__ import annotations

import hashlib
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from tune_app.tasks import load_task


def numbers(page: dict[str, Any]) -> list[int]:
    return [item["trial"] for item in page["items"]]


def test_trials_come_as_a_leaderboard_with_everything(client: httpx.Client) -> None:
    page = client.get("/jobs/ended-1/trials").json()
    assert numbers(page) == [0, 2, 4, 1, 3]
    assert page["total"] == 5
    best, failed = page["items"][0], page["items"][4]
    assert (best["state"], best["objective"], best["epochs"]) == ("COMPLETED", pytest.approx(0.9), 2)
    assert best["metrics"] == {"val_accuracy": pytest.approx(0.9), "val_loss": 1.0}
    variables = load_task("image_cnn").variables
    assert {g: list(v) for g, v in best["configuration"].items()} == {
        g: [v.name for v in variables if v.group == g] for g in ("architecture", "training", "data", "inference")
    }
    assert best["configuration"]["training"]["batch_size"] == 500
    assert best["ended_at"] > best["started_at"]
    assert (failed["state"], failed["failure_kind"], failed["objective"]) == ("FAILED", "error", None)
    assert failed["error"].startswith("ValueError")


def test_an_unreadable_store_is_not_the_clients_error(client: httpx.Client, place: Any) -> None:
    log = Path(place.store.folder.path("studies/ended-1/events.jsonl"))
    log.rename(log.with_name("kept"))
    log.mkdir()
    try:
        answer = client.get("/jobs/ended-1/trials")
    finally:
        log.rmdir()
        log.with_name("kept").rename(log)
    assert answer.status_code == 503
    assert "cannot read" in answer.json()["error"]["message"]


def test_a_running_trial_shows_what_is_known_so_far(client: httpx.Client) -> None:
    page = client.get("/jobs/running-1/trials", params={"state": "RUNNING"}).json()
    (trial,) = page["items"]
    assert (trial["trial"], trial["ended_at"], trial["duration_s"], trial["epochs"]) == (5, None, None, 1)
    assert (trial["objective"], trial["metrics"]["val_loss"]) == (0.95, 0.1)
    assert trial["configuration"]["training"]["optimizer"] == "adamw"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"sort": "trial", "order": "desc"}, [5, 4, 3, 2, 1, 0]),
        ({"sort": "objective"}, [4, 2, 1, 0, 5, 3]),
        ({"sort": "objective", "order": "desc"}, [5, 0, 1, 2, 4, 3]),
        ({"sort": "metrics.val_loss"}, [5, 0, 1, 2, 4, 3]),
        ({"sort": "epochs", "state": ["PRUNED", "FAILED"]}, [3, 1]),
        ({"state": "COMPLETED", "offset": 1, "limit": 1}, [2]),
        ({"offset": 50}, []),
    ],
)
def test_trials_are_sorted_filtered_and_paged(client: httpx.Client, asked: dict[str, Any], expected: list[int]) -> None:
    assert numbers(client.get("/jobs/running-1/trials", params=asked).json()) == expected


def test_an_unknown_sort_key_gets_the_nearest_as_a_hint(client: httpx.Client) -> None:
    for sort, near in (("objectiv", "objective"), ("metrics.val_los", "metrics.val_loss"), ("config", "")):
        error = client.get("/jobs/ended-1/trials", params={"sort": sort}).json()["error"]
        assert (error["code"], error["where"]) == ("invalid", "query.sort")
        assert near in error["hint"]


def test_one_trial_with_its_epochs(client: httpx.Client) -> None:
    trial = client.get("/jobs/ended-1/trials/2").json()
    assert [row["epoch"] for row in trial["history"]] == [1, 2]
    assert trial["history"][1]["metrics"] == trial["metrics"]
    missing = client.get("/jobs/ended-1/trials/9")
    assert (missing.status_code, missing.json()["error"]["hint"]) == (404, "its trials: 0 to 4")


def test_a_job_that_has_no_study_yet_has_no_trials(client: httpx.Client, place: Any) -> None:
    job = place.add_job("waiting", "QUEUED")
    assert client.get(f"/jobs/{job.id}/trials").json()["items"] == []
    assert client.get(f"/jobs/{job.id}/trials/0").status_code == 404
    assert client.get(f"/jobs/{job.id}/best-model").status_code == 404


def test_the_best_model_shows_its_layers(client: httpx.Client) -> None:
    found = client.get("/jobs/ended-1/best-model").json()
    assert (found["trial"]["trial"], found["metric"], found["layers_missing"]) == (0, "val_accuracy", None)
    config = found["configuration"]["architecture"]
    layers = found["layers"]
    convolution = next(layer for layer in layers if layer["type"] == "Conv2d")
    assert convolution["parameter_shapes"]["weight"] == [config["filters"], 1, 3, 3]
    assert convolution["output_shape"][1:] == [config["filters"], 8, 8]
    assert layers[-1]["output_shape"][1:] == [10]
    assert client.get("/jobs/ended-1/best-model").json() == found


def test_the_weights_come_with_their_configuration_and_load_safely(client: httpx.Client, tmp_path: Any) -> None:
    response = client.get("/jobs/ended-1/best-model/download")
    assert response.status_code == 200
    assert 'filename="ended-1-0.pt"' in response.headers["content-disposition"]
    (tmp_path / "best.pt").write_bytes(response.content)
    saved = torch.load(tmp_path / "best.pt", weights_only=True)
    told = client.get("/jobs/ended-1/best-model").json()
    assert (saved["study"], saved["trial"], saved["task"]) == ("ended-1", 0, "image_cnn")
    assert saved["config"] == told["configuration"]
    assert saved["metrics"] == told["metrics"]
    assert "optimization" not in saved
    shapes = {
        f"{layer['name']}.{name}": tuple(shape)
        for layer in told["layers"]
        for name, shape in layer["parameter_shapes"].items()
    }
    assert shapes == {name: tuple(saved["weights"][name].shape) for name in shapes}


@pytest.fixture
def weights_folders(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The folder for the server's temporary folders; it must be empty after each response."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


def assert_empties(folder: Any) -> None:
    """Check that nothing is left in `folder` soon after the response."""
    deadline = time.monotonic() + 5
    while left := list(folder.iterdir()):
        assert time.monotonic() < deadline, left
        time.sleep(0.02)


def test_a_download_can_be_resumed(client: httpx.Client, weights_folders: Any) -> None:
    path = "/jobs/ended-1/best-model/download"
    whole = client.get(path)
    tag = whole.headers["ETag"]
    assert tag == f'"{hashlib.sha256(whole.content).hexdigest()}"'
    rest = client.get(path, headers={"Range": "bytes=1000-", "If-Range": tag})
    assert (rest.status_code, rest.headers["ETag"], rest.content) == (206, tag, whole.content[1000:])
    other = client.get(path, headers={"Range": "bytes=1000-", "If-Range": '"another"'})
    assert (other.status_code, other.content) == (200, whole.content)
    assert_empties(weights_folders)


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        ("bytes=x", 400, "bad_request"),
        ("lines=1-2", 400, "bad_request"),
        ("bytes=9999999-", 416, "range_not_satisfiable"),
    ],
)
def test_an_invalid_range_leaves_no_files(
    client: httpx.Client, weights_folders: Any, header: str, status: int, code: str
) -> None:
    response = client.get("/jobs/ended-1/best-model/download", headers={"Range": header})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["where"]) == (status, code, "header Range")
    assert_empties(weights_folders)


def test_there_is_no_best_model_if_nothing_completed(client: httpx.Client) -> None:
    for path in ("/jobs/failed-1/best-model", "/jobs/failed-1/best-model/download"):
        response = client.get(path)
        assert response.status_code == 404
        assert "no trial of the job `failed-1` completed" in response.json()["error"]["message"]


def test_a_missing_checkpoint(client: httpx.Client) -> None:
    response = client.get("/jobs/running-1/best-model/download")
    assert response.status_code == 404
    assert "has no checkpoint" in response.json()["error"]["message"]


def test_the_model_of_a_training_is_the_one_it_made(client: httpx.Client, place: Any, tmp_path: Any) -> None:
    found = client.get("/jobs/train-mine-1/best-model").json()
    assert [found[key] for key in ("study", "metric", "direction", "trial", "layers_missing")] == [None] * 5
    assert (found["training"]["training"], found["training"]["seed"]) == ("train-mine-1", 3)
    assert "overall" in found["training"]["health"]
    assert 0 <= found["metrics"]["test_accuracy"] <= 1
    assert not [name for name in found["metrics"] if name.startswith("health")]
    mine = place.profiles.load("mine")
    assert {name: value for group in found["configuration"].values() for name, value in group.items()} == mine.config
    assert sum(layer["parameters"] for layer in found["layers"]) == found["training"]["model_parameters"]

    response = client.get("/jobs/train-mine-1/best-model/download")
    assert 'filename="train-mine-1.pt"' in response.headers["content-disposition"]
    (tmp_path / "trained.pt").write_bytes(response.content)
    saved = torch.load(tmp_path / "trained.pt", weights_only=True)
    assert (saved["training"], saved["config"], saved["metrics"]) == (
        "train-mine-1",
        found["configuration"],
        found["metrics"],
    )
    assert sum(tensor.numel() for tensor in saved["weights"].values()) >= found["training"]["model_parameters"]


def test_a_training_that_did_not_succeed_has_no_model(client: httpx.Client, place: Any) -> None:
    for state in ("RUNNING", "FAILED"):
        job = place.add_job("train-other", state, kind="training", study=None)
        for path in ("best-model", "best-model/download"):
            response = client.get(f"/jobs/{job.id}/{path}")
            assert response.status_code == 404
            assert f"`{job.id}` is {state}" in response.json()["error"]["message"]


def test_a_damaged_record_of_a_training_is_named(client: httpx.Client, place: Any) -> None:
    job = place.add_job("train-broken", "SUCCEEDED", kind="training", study=None)
    folder = place.store.folder
    folder.write(f"trainings/{job.id}/profile.yaml", b"config: {}\n")
    folder.write(f"trainings/{job.id}/metrics.json", b"{}")
    response = client.get(f"/jobs/{job.id}/best-model")
    assert response.status_code == 422
    assert response.json()["error"]["where"].endswith(f"trainings/{job.id}/metrics.json")


def test_layers_come_from_the_study_that_has_the_name_now(
    client: httpx.Client, place: Any, make_study: Any, make_spec: Any
) -> None:
    job = place.add_job("again", "SUCCEEDED")
    for filters in (1, 3):
        rates = {"type": "float", "low": 0.001, "high": 0.1}
        searched = {"architecture": {"filters": filters}, "training": {"learning_rate": rates}}
        spec = make_spec(name=job.study, parameters=searched)
        place.store.folder.remove(f"studies/{job.study}")
        make_study(place.store.folder.url, spec, ends=("COMPLETED",))
        layers = client.get(f"/jobs/{job.id}/best-model").json()["layers"]
        found = next(layer for layer in layers if layer["type"] == "Conv2d")
        assert found["parameter_shapes"]["weight"][0] == filters


def test_a_task_without_a_network_has_a_best_model_without_layers(
    place: Any, serve: Any, make_study: Any, make_spec: Any, sgd_task: str
) -> None:
    job = place.add_job("sgd", "SUCCEEDED")
    alpha = {"type": "float", "low": 1e-5, "high": 0.1, "log": True}
    spec = make_spec(name=job.study, task=sgd_task, parameters={"training": {"alpha": alpha}}, constraints=[])
    make_study(place.store.folder.url, spec, ends=("COMPLETED",))
    with serve(replace(place.settings, classes=[sgd_task])) as client:
        found = client.get(f"/jobs/{job.id}/best-model").json()
    assert (found["task"], found["layers"]) == (sgd_task, None)
    missing = f"the task `{sgd_task}` has no network to show: its model is not a torch.nn.Module"
    assert found["layers_missing"] == missing


def test_what_a_script_printed_is_read_in_parts(client: httpx.Client, place: Any) -> None:
    study = place.store.study("ended-1")
    study.folder.append(study.log(2), b"one\ntwo\nthree\n")
    whole = client.get("/jobs/ended-1/trials/2/logs")
    assert (whole.text, whole.headers["Next-Start"]) == ("one\ntwo\nthree\n", "14")
    assert client.get("/jobs/ended-1/trials/2/logs?start=4&limit=1").text == "two\n"
    assert client.get("/jobs/ended-1/trials/2/logs?tail=true&limit=1").text == "three\n"
    for path, message in (("trials/0", "has no log"), ("trials/99", "has no trial 99")):
        response = client.get(f"/jobs/ended-1/{path}/logs")
        assert response.status_code == 404
        assert message in response.json()["error"]["message"]
