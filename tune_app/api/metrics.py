"""Metrics for Prometheus: the jobs in the store, the running sweeps, and the server's own process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from tune_app.api.server import Server
from tune_app.jobs.job import KINDS, STATES
from tune_app.store.study import Study
from tune_app.store.trial_row import STATES as TRIAL_STATES

TEXT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus's text format 0.0.4."}
}


def routes(server: Server) -> APIRouter:
    """The route that Prometheus scrapes."""
    registry = CollectorRegistry()
    PlatformCollector(registry)
    ProcessCollector(registry=registry)
    registry.register(JobCollector(server))
    router = APIRouter(tags=["server"])

    @router.get("/metrics", response_class=Response, responses=TEXT)
    def metrics() -> Response:
        """Metrics for Prometheus: jobs; trials, slots and suggestions of sweeps that run as jobs; this process."""
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    return router


class JobCollector(Collector):
    """Reads the jobs at every scrape; a sweep only has its own series while it runs."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def describe(self) -> list[Metric]:
        """Nothing: otherwise the store would be read when the server starts."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The content of the job records and of the live states of their studies."""
        found, _ = self._server.views.all()
        counts = Counter((job.kind, job.state) for job in found)
        jobs = GaugeMetricFamily("tune_app_jobs", "Jobs in the store.", labels=("kind", "state"))
        for kind in KINDS:
            for state in STATES:
                jobs.add_metric((kind, state), counts[kind, state])
        yield jobs
        trials = GaugeMetricFamily(
            "tune_app_sweep_trials", "Trials of a running sweep, by state.", labels=("study", "state")
        )
        planned = GaugeMetricFamily(
            "tune_app_sweep_trials_planned", "Planned number of trials of a running sweep.", labels=("study",)
        )
        slots = GaugeMetricFamily(
            "tune_app_sweep_slots", "Maximum number of trials that a running sweep trains at once.", labels=("study",)
        )
        suggestions = SummaryMetricFamily(
            "tune_app_sweep_suggestion_seconds",
            "Time that the sampler of a running sweep took to suggest configurations.",
            labels=("study",),
        )
        for study, live in self._running(found):
            for state in TRIAL_STATES:
                trials.add_metric((study, state), live["trials"].get(state, 0))
            planned.add_metric((study,), live["total"])
            if "slots" in live:
                slots.add_metric((study,), live["slots"])
            if "suggestions" in live:  # a sweep of an older version does not have them
                told = live["suggestions"]
                suggestions.add_metric((study,), told["count"], told["seconds"])
        yield from (trials, planned, slots, suggestions)

    def _running(self, jobs: list[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """The studies that running jobs have started, with their live states."""
        for job in jobs:
            live = Study(self._server.store.folder, job.study).json("live.json") if job.state == "RUNNING" else {}
            if "trials" in live:
                yield job.study, live
