"""Who can use the server, and what a request can name."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tune_app.api import listening, security
from tune_app.api.admission import Admission
from tune_app.credentials import API_TOKEN
from tune_app.document import Document
from tune_app.errors import InputError
from tune_app.profiles.profile import Profile
from tune_app.tasks.catalogs import load_catalog
from tune_app.tasks.spec_file import read_spec

TOKEN = "correct-horse-battery-staple"


def code(response: httpx.Response, status: int) -> str:
    """The code of an error, which must have the standard keys."""
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"code", "message", "where", "hint"}
    return str(error["code"])


@pytest.fixture(scope="module")
def guarded(place: Any, serve: Any) -> Iterator[httpx.Client]:
    """A client that does not send the server's token."""
    with serve(replace(place.settings, token=TOKEN, origins=["https://tune.example"])) as found:
        del found.headers["Authorization"]
        yield found


def paths(client: httpx.Client) -> list[tuple[str, str]]:
    """Every method and path in the OpenAPI document."""
    document = client.get("/openapi.json").json()
    return [(method, path) for path, methods in document["paths"].items() for method in methods]


def test_every_route_requires_the_token(guarded: httpx.Client) -> None:
    found = paths(guarded)
    assert len(found) > 20
    for method, path in found:
        response = guarded.request(method, path)
        assert code(response, 401) == "unauthorized", path
        assert response.headers["WWW-Authenticate"] == "Bearer"
    assert guarded.get("/openapi.json").json()["security"] == [{"token": []}]


@pytest.mark.parametrize(
    "header",
    ["", TOKEN, "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", "Bearer \xe9"],
)
def test_a_wrong_token(guarded: httpx.Client, header: str) -> None:
    assert code(guarded.get("/jobs", headers={"Authorization": header.encode("latin-1")}), 401) == "unauthorized"


def test_the_right_token(guarded: httpx.Client) -> None:
    for header in (f"Bearer {TOKEN}", f"bearer {TOKEN}"):
        assert guarded.get("/jobs", headers={"Authorization": header}).status_code == 200


def test_the_token_is_compared_in_constant_time(guarded: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(security.hmac, "compare_digest", compare)
    guarded.get("/jobs", headers={"Authorization": "Bearer short"})
    assert [len(one) == len(other) for one, other in compared] == [True]


def test_a_websocket_requires_the_token_before_it_opens(guarded: httpx.Client) -> None:
    url = f"ws://{guarded.base_url.netloc.decode()}/jobs/ended-1/events"
    for given in ({}, {"subprotocols": ["bearer", "wrong"]}, {"additional_headers": {"Authorization": "Bearer no"}}):
        with pytest.raises(InvalidStatus) as caught:
            connect(url, **given)
        assert caught.value.response.status_code == 401
    with connect(url, subprotocols=["bearer", TOKEN], max_queue=None) as socket:
        assert socket.subprotocol == "bearer"
        assert "trial_started" in str(socket.recv())
    with connect(url, additional_headers={"Authorization": f"Bearer {TOKEN}"}, max_queue=None) as socket:
        assert "trial_started" in str(socket.recv())


def test_a_rejected_websocket_is_not_logged_as_an_error(
    guarded: httpx.Client, client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    for server, path in ((guarded, "ended-1/events"), (client, "none-1/events"), (client, "ended-1/events?after=x")):
        with pytest.raises(InvalidStatus):
            connect(f"ws://{server.base_url.netloc.decode()}/jobs/{path}")
    time.sleep(0.2)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_web_pages_of_other_origins_are_kept_out(client: httpx.Client, guarded: httpx.Client) -> None:
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
        assert code(client.get("/jobs", headers={"Origin": origin}), 403) == "forbidden"
        assert code(client.post("/jobs/running-1/cancel", headers={"Origin": origin}), 403) == "forbidden"
    own = client.get("/jobs", headers={"Origin": f"http://{client.base_url.netloc.decode()}"})
    assert own.status_code == 200
    assert not [name for name in own.headers if name.startswith("access-control")]
    url = f"ws://{client.base_url.netloc.decode()}/jobs/ended-1/events"
    with pytest.raises(InvalidStatus) as caught:
        connect(url, origin="http://evil.example")  # type: ignore[arg-type]
    assert caught.value.response.status_code == 403
    asked = {"Origin": "https://tune.example", "Access-Control-Request-Method": "PUT"}
    let_in = guarded.options("/profiles/mine", headers=asked)
    assert let_in.headers["access-control-allow-origin"] == "https://tune.example"
    assert code(guarded.options("/profiles/mine", headers={**asked, "Origin": "https://other.example"}), 403)


def test_without_a_token_the_host_must_be_this_machine(client: httpx.Client, guarded: httpx.Client) -> None:
    outside = ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "[::2]:80"]
    mixed = ["localhost:x@evil.example", "localhost@evil.example", "[::1]evil.example", "localhost:1:2", "localhost/x"]
    for host in outside + mixed:
        assert code(client.get("/jobs", headers={"Host": host}), 400) == "bad_request"
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1:9", "[::1]:8000"):
        assert client.get("/jobs", headers={"Host": host}).status_code == 200
    shown = {"Host": "tune.example", "Authorization": f"Bearer {TOKEN}"}
    assert guarded.get("/jobs", headers=shown).status_code == 200
    for host in mixed:
        assert code(guarded.get("/jobs", headers={**shown, "Host": host}), 400) == "bad_request"


def test_a_large_request_is_rejected_whether_or_not_it_declares_its_size(client: httpx.Client) -> None:
    large = b'{"kind": "sweep", "space": "' + b"a" * 1_000_000 + b'"}'
    headers = {"Content-Type": "application/json"}
    assert code(client.post("/jobs", content=large, headers=headers), 413) == "too_large"
    pieces = iter([large[:600_000], large[600_000:]])
    assert code(client.post("/jobs", content=pieces, headers=headers), 413) == "too_large"
    assert code(client.post("/jobs", content=large[:200_100] + b'"}', headers=headers), 422) == "invalid"


@pytest.fixture
def marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that a module in the current folder creates when it is imported."""
    mark = tmp_path / "imported"
    (tmp_path / "intruder.py").write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\nclass Task: pass\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "intruder", raising=False)
    return mark


def naming(space: dict[str, Any], **changed: Any) -> list[tuple[str, str, dict[str, Any]]]:
    """Every request that can name a task and data."""
    profile = {"task": "image_cnn", "dataset": "digits", "config": {}, **changed}
    return [
        ("POST", "/jobs", {"kind": "sweep", "space": {**space, **changed}}),
        ("PUT", "/profiles/named", profile),
    ]


def test_a_class_is_not_imported_unless_it_is_listed(
    client: httpx.Client, place: Any, make_spec: Any, marked: Path
) -> None:
    for method, path, body in naming(make_spec().to_dict(), task="intruder:Task"):
        response = client.request(method, path, json=body)
        assert code(response, 422) == "invalid"
        assert "`task` must be one of image_cnn" in response.json()["error"]["message"]
        assert "--allow-class" in response.json()["error"]["hint"]
    file = place.root / "search_spaces" / "intruder.yaml"
    file.write_text("schema_version: 1\nname: a\ntask: intruder:Task\ndataset: digits\n")
    assert code(client.post("/jobs", json={"kind": "sweep", "search_space": "intruder"}), 422) == "invalid"
    assert not marked.exists()


SCRIPT = {
    "schema_version": 1,
    "name": "mine",
    "task": "script",
    "command": "touch intruded",
    "report": {"stdout": "(?P<val_loss>.)"},
    "metrics": {"val_loss": "minimize"},
    "parameters": {"training": {"lr": {"type": "float", "low": 0.0, "high": 1.0}}},
}


def test_a_script_is_refused_wherever_it_is_named(client: httpx.Client, place: Any) -> None:
    catalog = read_spec(Document.of(SCRIPT, "space")).catalog
    place.profiles.save(Profile("commanded", catalog, "none", {"lr": 0.5}), loaded_revision=0)
    (place.root / "search_spaces" / "commanded.yaml").write_text(yaml.safe_dump(SCRIPT))
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/jobs", {"kind": "sweep", "space": SCRIPT}),
        ("POST", "/jobs", {"kind": "sweep", "search_space": "commanded"}),
        ("POST", "/jobs", {"kind": "training", "profile": "commanded"}),
        ("POST", "/session", {"profile": "commanded"}),
        ("PUT", "/profiles/other", {"source": {"profile": "commanded"}}),
        ("PUT", "/profiles/other", {"task": "script", "dataset": "none", "config": {"training": {"lr": 0.5}}}),
    ]
    for method, path, body in asked:
        response = client.request(method, path, json=body)
        assert code(response, 422) == "invalid"
        assert "--allow-class script`, which allows any command" in response.json()["error"]["hint"]
    place.profiles.delete("commanded")


def test_a_script_that_is_allowed_is_accepted(place: Any, serve: Any) -> None:
    with serve(replace(place.settings, classes=["script"])) as client:
        response = client.post("/jobs", json={"kind": "sweep", "space": SCRIPT})
        assert response.status_code == 202
        request = client.get(f"/jobs/{response.json()['id']}").json()["request"]
    assert "touch, intruded" in str(request)


def test_a_listed_class_is_imported_and_checked(place: Any, serve: Any, make_spec: Any, marked: Path) -> None:
    with serve(replace(place.settings, classes=["intruder:Task"])) as client:
        for method, path, body in naming(make_spec().to_dict(), task="intruder:Task"):
            response = client.request(method, path, json=body)
            assert "must follow the contract" in response.json()["error"]["message"]
    assert marked.exists()


def test_a_study_of_a_class_that_is_not_listed_shows_no_layers(client: httpx.Client, place: Any, marked: Path) -> None:
    spec = place.store.folder.root / "studies" / "ended-1" / "spec.yaml"
    kept = spec.read_text()
    try:
        spec.write_text(kept.replace("task: image_cnn", "task: intruder:Task"))
        found = client.get("/jobs/ended-1/best-model").json()
        assert found["layers"] is None
        assert "`task` must be one of" in found["layers_missing"]
        for path, asked in (
            ("/session", {"study": "ended-1"}),
            ("/jobs", {"kind": "training", "study": "ended-1"}),
            ("/jobs", {"kind": "sweep", "search_space": "small", "overrides": {"start_from": ["ended-1"]}}),
        ):
            assert code(client.post(path, json=asked), 422) == "invalid"
    finally:
        spec.write_text(kept)
    assert not marked.exists()


WAYS_TO_A_PROFILE: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "/profiles", None),
    ("GET", "/profiles/theirs", None),
    ("GET", "/profiles/theirs/history", None),
    ("GET", "/session", None),
    ("POST", "/session", {"profile": "theirs"}),
    ("PUT", "/profiles/new", {"source": {"profile": "theirs"}}),
    ("POST", "/jobs", {"kind": "training", "profile": "theirs"}),
    ("POST", "/jobs", {"kind": "sweep", "search_space": "small", "overrides": {"start_from": ["theirs"]}}),
    ("POST", "/jobs", {"kind": "sweep", "search_space": "starting"}),
]


@pytest.mark.parametrize("keeps_catalog", [True, False])
def test_no_way_to_a_profile_imports_the_class_it_names(
    tmp_path: Path, make_place: Any, serve: Any, marked: Path, make_spec: Any, keeps_catalog: bool
) -> None:
    place = make_place(tmp_path / "place")
    profiles = Path(place.settings.profiles)
    text = (profiles / "mine.yaml").read_text().replace("name: mine", "name: theirs")
    for name in ("theirs.yaml", ".session.yaml", ".history/theirs/1.yaml"):
        kept = (profiles / ".catalogs" / name).with_suffix(".json")
        for path in (profiles / name, kept):
            path.parent.mkdir(parents=True, exist_ok=True)
        (profiles / name).write_text(text.replace("task: image_cnn", "task: intruder:Task"))
        if keeps_catalog:
            kept.write_text(json.dumps({**load_catalog("image_cnn").to_dict(), "task": "intruder:Task"}))
    space = {**make_spec().to_dict(), "search": {"start_from": ["theirs"]}}
    (place.root / "search_spaces" / "starting.yaml").write_text(yaml.safe_dump(space))
    with serve(place.settings) as client:
        for method, path, body in WAYS_TO_A_PROFILE:
            response = client.request(method, path, json=body)
            if method != "GET" or not (keeps_catalog or path == "/profiles"):
                assert code(response, 422) == "invalid", (method, path, response.text)
    assert not marked.exists()
    assert "intruder" not in sys.modules


def test_data_is_read_only_from_listed_folders(place: Any, serve: Any, make_spec: Any, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "out").symlink_to("/etc")
    outside = [
        "/etc/passwd",
        "~/x",
        f"{tmp_path}/open/../x",
        f"{tmp_path}/open/out/passwd",
        f"{tmp_path}/opened",
        "a\0b",
    ]
    with serve(replace(place.settings, data_folders=[str(tmp_path / "open")])) as client:
        for path in outside:
            for method, route, body in naming(make_spec().to_dict(), dataset={"kind": "npz", "path": path}):
                response = client.request(method, route, json=body)
                assert code(response, 422) == "invalid"
                assert "`path` must be in" in response.json()["error"]["message"], path
        inside = {"kind": "npz", "path": f"{tmp_path}/open/mine.npz"}
        assert client.put("/profiles/named", json=naming({}, dataset=inside)[1][2]).status_code == 201


@pytest.mark.parametrize(
    ("task", "dataset"),
    [("os:system", "digits"), ("tune_app.tasks.image_cnn:ImageCNNTask", "digits"), ("image_cnn", {"path": "."})],
)
def test_admission_refuses_what_is_not_listed(task: str, dataset: Any) -> None:
    with pytest.raises(InputError):
        Admission().check(task, dataset, "here")


@pytest.mark.parametrize("text", ["", "short", "with space and more", "é" * 20, "a" * 20 + "/"])
def test_an_invalid_token(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text(text + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="a token must have at least 16"):
        listening.read_token(str(tmp_path / "token"))
    monkeypatch.setenv(API_TOKEN, text)
    with pytest.raises(InputError, match="a token must have at least 16"):
        listening.read_token(None)


def test_the_token_file_takes_precedence_over_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(API_TOKEN, raising=False)
    assert listening.read_token(None) is None
    monkeypatch.setenv(API_TOKEN, "a" * 16)
    assert listening.read_token(None) == "a" * 16
    (tmp_path / "token").write_text(TOKEN + "\n")
    (tmp_path / "token").chmod(0o600)
    monkeypatch.setenv(API_TOKEN, "a" * 16)
    assert listening.read_token(str(tmp_path / "token")) == TOKEN
    assert API_TOKEN not in os.environ, "a child process would inherit it"
    assert capsys.readouterr().err == ""
    (tmp_path / "token").chmod(0o644)
    assert listening.read_token(str(tmp_path / "token")) == TOKEN
    assert "its mode is 0644" in capsys.readouterr().err
    with pytest.raises(InputError, match="must be readable"):
        listening.read_token(str(tmp_path / "none"))


class Bound:
    """A fake socket that reports an address, so that nothing here is open to others."""

    def __init__(self, address: str) -> None:
        self.address = address

    def getsockname(self) -> tuple[str, int]:
        return self.address, 1


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "fe80::1%eth0"])
def test_off_loopback_a_token_is_required(address: str) -> None:
    bound: Any = Bound(address)
    with pytest.raises(InputError, match="a token is required") as caught:
        listening.check_token(bound, None)
    assert len(str(caught.value).splitlines()) == 2
    listening.check_token(bound, TOKEN)


def test_on_loopback_no_token_is_required() -> None:
    for host in ("127.0.0.1", "localhost"):
        with listening.bind(host, 0) as bound:
            listening.check_token(bound, None)


def test_an_address_that_is_taken_or_not_ours() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(InputError, match="must be able to listen"):
        listening.bind("127.0.0.1", taken.getsockname()[1])
    for host in ("192.0.2.1", "no.such.host.invalid", "a" * 300):
        with pytest.raises(InputError, match="must be able to listen"):
            listening.bind(host, 0)
