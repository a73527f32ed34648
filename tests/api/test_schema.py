"""Requests that schemathesis generates from the OpenAPI document get no 5xx and no undocumented response."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tune_app.api.app import make_app
from tune_app.api.settings import Settings
from tune_app.jobs import jobs as jobs_module

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    negative_data_rejection,
    unsupported_method,
]
SAID_BY_TASKS = (
    "POST /jobs",
    "POST /jobs/{job_id}/change",
    "POST /jobs/{job_id}/trials/{trial}/note",
    "PUT /profiles/{name}",
    "POST /session",
    "GET /jobs/{job_id}/trials",
)
"""Here, what is valid also depends on a task, a space or a study, or 1.0 is rejected as a whole number; elsewhere the
document defines it completely."""
KNOWN = {"job_id": ("ended-1", "failed-1", "running-1", "train-mine-1"), "name": ("mine",), "trial": (0, 3)}
"""Names that exist; made-up ones are tried, too."""
schema = schemathesis.openapi.from_dict(make_app(Settings("results", "profiles", "search_spaces")).openapi())
answered: Counter[int] = Counter()


@schema.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Use a name that exists every other time."""
    if path_parameters is None:
        return None
    chosen = {}
    for key, value in path_parameters.items():
        # Only one of the jobs can be cancelled.
        known = ("running-1",) if context.operation.path.endswith("/cancel") else KNOWN[key]
        number = len(str(value)) + sum(map(ord, str(value)))
        # The other tests need what a DELETE would remove.
        is_kept = context.operation.method != "delete" or key == "name"
        chosen[key] = known[number // 2 % len(known)] if number % 2 and is_kept else value
    return chosen


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "YIELD_S", 0.2)


def _test_of(operation: Any) -> Any:
    """The test for one operation."""

    @schema.include(path=operation.path, method=operation.method).parametrize()
    @settings(
        max_examples=16,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def nothing_that_the_document_does_not_say(case: schemathesis.Case, client: httpx.Client) -> None:
        known = [] if case.operation.label in SAID_BY_TASKS else [positive_data_acceptance]
        response = case.call_and_validate(base_url=str(client.base_url), checks=[*CHECKS, *known])
        answered[response.status_code] += 1

    return nothing_that_the_document_does_not_say


# Each test gets its own name: schemathesis gives all of them the same one, so pytest-xdist would run only one.
for _found in schema.get_all_operations():
    _name = "test_" + "_".join(re.findall(r"\w+", _found.ok().label)).lower()
    assert _name not in globals()
    globals()[_name] = _test_of(_found.ok())


def test_the_tested_document_is_the_one_served(client: httpx.Client) -> None:
    assert client.get("/openapi.json").json() == schema.raw_schema


def test_generated_requests_reached_the_routes() -> None:
    if not answered:
        pytest.skip("the tests above did not run")
    assert {200, 202, 404, 422} <= set(answered), answered
