"""The available choices, over HTTP."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from tune_app import __version__
from tune_app.datasets.registry import DATASETS
from tune_app.spaces.strategy import SAMPLERS, SCHEDULERS

REPOSITORY = Path(__file__).parents[2]


def test_strategies_and_datasets_match_the_package(client: httpx.Client) -> None:
    told = client.get("/strategies").json()
    assert {line["name"]: line["summary"] for line in told["samplers"]} == {n: s.summary for n, s in SAMPLERS.items()}
    assert [line["name"] for line in told["schedulers"]] == list(SCHEDULERS)
    datasets = {line["name"]: line for line in client.get("/datasets").json()}
    assert list(datasets) == list(DATASETS)
    assert (datasets["digits"]["state"], datasets["mnist"]["kind"]) == ("embedded", "image")


def test_every_shipped_search_space_is_listed(place: Any, serve: Any) -> None:
    shipped = REPOSITORY / "search_spaces"
    with serve(replace(place.settings, search_spaces=str(shipped))) as client:
        lines = client.get("/search-spaces").json()
    assert [line["search_space"] for line in lines] == [path.stem for path in sorted(shipped.glob("*.yaml"))]
    assert not [line for line in lines if line["invalid"]]
    assert next(line for line in lines if line["search_space"] == "digits_cnn")["document"]["name"] == "digits-cnn"


def test_a_search_space_is_read_again_when_it_changes(client: httpx.Client, place: Any) -> None:
    file = place.root / "search_spaces" / "mine.yaml"
    told = {"name": "two", "notify": ["https://a.org"]}  # only this part of the address is shown
    for text, document in (
        ("name: one", {"name": "one"}),
        ("name: two\nnotify: https://a.org/secret", told),
        ("name: [", None),
    ):
        file.write_text(text)
        line = next(line for line in client.get("/search-spaces").json() if line["search_space"] == "mine")
        assert line["document"] == document
    assert "mine.yaml:2" in line["invalid"] or "mine.yaml:1" in line["invalid"]


def test_the_server_reports_its_health(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok", "version": __version__}
    assert "swagger" in client.get("/docs").text
