"""Profiles and the session over HTTP: a client cannot replace a revision that it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest


@pytest.fixture
def place(tmp_path: Path, make_place: Callable[[Path], Any]) -> Any:
    """A new place for each test, since the tests change it."""
    return make_place(tmp_path)


@pytest.fixture
def client(place: Any, serve: Any) -> Iterator[httpx.Client]:
    """A client of a server for it."""
    with serve(place.settings) as found:
        yield found


def test_only_a_client_that_saw_a_profile_can_replace_or_delete_it(client: httpx.Client, place: Any) -> None:
    made = client.put("/profiles/new", json={"source": {"study": "ended-1"}, "note": "first"})
    assert (made.status_code, made.json()["revision"], made.headers["ETag"]) == (201, 1, '"1"')
    unseen = client.put("/profiles/new", json={"source": {"profile": "mine"}})
    assert unseen.status_code == 409
    assert "is at revision 1, but revision 0 was loaded" in unseen.json()["error"]["message"]
    edit = {"source": {"profile": "new"}, "set": {"training.learning_rate": 0.03}}
    second = client.put("/profiles/new", json=edit, headers={"If-Match": '"1"'})
    assert (second.status_code, second.json()["revision"]) == (200, 2)
    assert second.json()["provenance"]["edited"]["training.learning_rate"]["saved"] == 0.03
    for asked, headers, status in (({"revision": 1}, {}, 409), ({}, {"If-Match": '"1"'}, 412)):
        late = client.put("/profiles/new", json={**edit, **asked}, headers=headers)
        assert late.status_code == status
        assert "is at revision 2, but revision 1 was loaded" in late.json()["error"]["message"]
    assert client.get("/profiles/new").json() == second.json()
    assert client.get("/profiles/new", params={"revision": 1}).json()["note"] == "first"
    changed = [line["changed"] for line in client.get("/profiles/new/history").json()]
    assert list(changed[1]) == ["training.learning_rate"]
    assert client.delete("/profiles/new", headers={"If-Match": '"1"'}).status_code == 412
    assert client.delete("/profiles/new", headers={"If-Match": '"2"'}).status_code == 204
    assert client.get("/profiles/new").status_code == 404
    assert len(client.get("/profiles/new/history").json()) == 2
    assert [line["name"] for line in client.get("/profiles").json()] == ["mine"]


def test_what_get_returns_can_be_put(client: httpx.Client) -> None:
    mine = client.get("/profiles/mine").json()
    keys = ("task", "dataset", "config", "constraints", "provenance")
    saved = client.put("/profiles/copy", json={key: mine[key] for key in keys})
    assert saved.status_code == 201, saved.text
    assert saved.json()["config"] == mine["config"]
    changed = {**mine["config"], "training": {**mine["config"]["training"], "learning_rate": 99.0}}
    wrong = client.put("/profiles/copy", json={**{k: mine[k] for k in keys}, "config": changed, "revision": 1})
    assert wrong.status_code == 422
    assert wrong.json()["error"]["where"] == "body config.training.learning_rate"


@pytest.mark.parametrize("tag", ["*", "W/1", '"x"', '"1", "2"', ""])
def test_if_match_names_one_revision(client: httpx.Client, tag: str) -> None:
    response = client.put("/profiles/mine", json={"source": {"study": "ended-1"}}, headers={"If-Match": tag})
    assert (response.status_code, response.json()["error"]["where"]) == (422, "header If-Match")


@pytest.mark.parametrize("name", ["..%2fsecret", ".session", "UPPER", "a" * 65, "%00"])
def test_a_name_cannot_lead_out_of_the_folder(client: httpx.Client, place: Any, name: str) -> None:
    (place.root / "secret.yaml").write_text("name: secret")
    assert client.get(f"/profiles/{name}").status_code in (404, 422)
    assert client.put(f"/profiles/{name}", json={"source": {"study": "ended-1"}}).status_code in (404, 422)
    assert client.delete(f"/profiles/{name}").status_code in (404, 422)
    assert (place.root / "secret.yaml").read_text() == "name: secret"


def test_the_session_is_what_was_applied_last(client: httpx.Client, place: Any) -> None:
    assert client.get("/session").status_code == 404
    applied = client.post("/session", json={"study": "ended-1", "trial": 2, "set": {"training.learning_rate": "0.05"}})
    assert applied.status_code == 200, applied.text
    assert client.get("/session").json() == applied.json()
    assert place.profiles.session().config["learning_rate"] == 0.05
    assert client.post("/session", json={"profile": "mine"}).json()["name"] == "mine"
    unknown = client.post("/session", json={"profile": "min"})
    assert (unknown.status_code, "did you mean `mine`?" in unknown.json()["error"]["hint"]) == (404, True)
    failed = client.post("/session", json={"study": "failed-1"})
    assert "no trial of the study `failed-1` completed" in failed.json()["error"]["message"]
    assert failed.status_code == 404


def test_a_damaged_profile_is_listed_with_its_error(client: httpx.Client, place: Any) -> None:
    (Path(place.settings.profiles) / "torn.yaml").write_text("name: [")
    lines = {line["name"]: line["invalid"] for line in client.get("/profiles").json()}
    assert lines["mine"] is None
    assert "YAML must be well-formed" in lines["torn"]
