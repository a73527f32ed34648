"""The metrics for Prometheus, parsed by its own client."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families


def scraped(client: httpx.Client) -> dict[str, float]:
    """The value of every sample, keyed by its name and labels."""
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = list(text_string_to_metric_families(response.text))
    assert all(family.documentation and family.type != "unknown" for family in families)
    return {
        " ".join([sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))]): sample.value
        for family in families
        for sample in family.samples
    }


def test_jobs_running_sweeps_and_the_process_are_reported(client: httpx.Client, place: Any) -> None:
    study = place.store.study("running-1")
    live = {**study.json("live.json"), "slots": 4, "suggestions": {"count": 7, "seconds": 1.25}}
    study.folder.write(f"{study.base}/live.json", json.dumps(live).encode())
    place.records.beat("running-1")
    told = scraped(client)
    assert len([name for name in told if name.startswith("tune_app_jobs ")]) == 10, "states without jobs count, too"
    ours = {name.removeprefix("tune_app_"): value for name, value in told.items() if name.startswith("tune_app_")}
    assert {name: value for name, value in ours.items() if value} == {
        "jobs kind=sweep state=SUCCEEDED": 1,
        "jobs kind=sweep state=FAILED": 1,
        "jobs kind=sweep state=RUNNING": 1,
        "jobs kind=training state=SUCCEEDED": 1,
        "sweep_trials state=COMPLETED study=running-1": 3,
        "sweep_trials state=PRUNED study=running-1": 1,
        "sweep_trials state=FAILED study=running-1": 1,
        "sweep_trials state=RUNNING study=running-1": 1,
        "sweep_trials_planned study=running-1": 9,
        "sweep_slots study=running-1": 4,
        "sweep_suggestion_seconds_count study=running-1": 7,
        "sweep_suggestion_seconds_sum study=running-1": 1.25,
    }
    assert not [name for name in told if "ended-1" in name], "a sweep that ended has no series"
    assert told["process_resident_memory_bytes"] > 1e7


def test_a_sweep_of_an_older_version_reports_no_suggestions(place: Any, serve: Any) -> None:
    study = place.store.study("running-1")
    live = {name: value for name, value in study.json("live.json").items() if name not in ("slots", "suggestions")}
    study.folder.write(f"{study.base}/live.json", json.dumps(live).encode())
    with serve(replace(place.settings, token="t" * 20)) as client:
        assert not [name for name in scraped(client) if "suggestion" in name]
        assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 401
