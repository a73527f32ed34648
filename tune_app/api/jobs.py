"""Routes of jobs: submit, list, show, cancel, remove, and their output."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from tune_app.api.error_shape import documented
from tune_app.api.models import JobAsked, JobFacts, JobId, JobPage, JobWithRequest
from tune_app.api.server import Server, asker
from tune_app.api.submission import asked_request
from tune_app.errors import Conflict
from tune_app.folder import LocalFolder
from tune_app.jobs.jobs import check_cancellable

State = Literal["QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"]
Offset = Annotated[int, Query(ge=0, le=2**31 - 1, description="How many to skip.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Maximum number to return.")]
MOST_LINES = 100_000
Start = Annotated[int, Query(ge=0, le=2**53, description="The byte to start at.")]
Lines = Annotated[int, Query(ge=1, le=MOST_LINES, description="Maximum number of lines.")]
Tail = Annotated[bool, Query(description="Return the last lines instead of the first.")]
TEXT: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/plain": {"schema": {"type": "string"}}},
        "description": "The text.",
        "headers": {"Next-Start": {"description": "The `start` of the next part.", "schema": {"type": "integer"}}},
    }
}
"""A part of a log, for the documentation."""


def routes(server: Server) -> APIRouter:
    """The routes of jobs."""
    router = APIRouter(prefix="/jobs", tags=["jobs"])
    _add_changing(router, server)
    _add_reading(router, server)
    _add_logs(router, server)
    return router


def _add_changing(router: APIRouter, server: Server) -> None:
    @router.post("", status_code=202, responses=documented(404, 409))
    def submit(asked: JobAsked, request: Request, response: Response) -> JobId:
        """Submit a sweep or a training run. It is checked and recorded now, and submitted to Ray right after the
        response."""
        wanted = asked_request(server, asked)
        job = server.jobs.accept(wanted, address=server.settings.address, by=asker(request))
        server.later(lambda: server.jobs.give(job, wanted), f"submitting {job.id}")
        response.headers["Location"] = f"/jobs/{job.id}"
        return JobId(id=job.id, study=job.study, state=job.state)

    @router.post("/{job_id}/cancel", status_code=202, responses=documented(404, 409))
    def cancel(job_id: str, request: Request) -> JobFacts:
        """Ask a job to stop: it does so within seconds after the response, and finished trials are kept."""
        job = server.views.job(job_id)
        if job.state != "CANCELLED":
            check_cancellable(job)
            by = asker(request)
            job = server.jobs.ask_to_stop(job.id, by)
            server.later(lambda: server.jobs.stop(job, by), f"cancelling {job.id}")
        return JobFacts.model_validate(server.views.document(job))

    @router.delete("/{job_id}", status_code=204, responses=documented(404, 409))
    def remove(
        job_id: str,
        with_study: Annotated[bool, Query(description="Also remove its study, or its training files.")] = False,
    ) -> None:
        """Remove the record and the log of an ended job; results stay unless `with_study` is set."""
        with server.removing:  # the second client learns that it is gone
            job = server.views.job(job_id)
            if not job.ended:
                raise Conflict(f"the job `{job.id}` is {job.state}", hint=f"POST /jobs/{job.id}/cancel stops it")
            server.jobs.purge(job, study=with_study)
            server.forget(job, study=with_study)


def _add_reading(router: APIRouter, server: Server) -> None:
    is_quick = isinstance(server.store.folder, LocalFolder)

    @router.get("")
    def list_jobs(
        state: Annotated[list[State] | None, Query(description="Only jobs in this state; repeatable.")] = None,
        kind: Annotated[Literal["sweep", "training"] | None, Query(description="Only jobs of this kind.")] = None,
        space: Annotated[str | None, Query(description="Only jobs of this space.")] = None,
        offset: Offset = 0,
        limit: Limit = 100,
    ) -> JobPage:
        """The jobs in the store, latest first."""
        found, damaged = server.views.all()
        wanted = [
            job
            for job in found
            if (not state or job.state in state)
            and (kind is None or job.kind == kind)
            and (space is None or job.space == space)
        ]
        items = [JobFacts.model_validate(server.views.document(job)) for job in wanted[offset : offset + limit]]
        return JobPage(
            items=items,
            total=len(wanted),
            offset=offset,
            limit=limit,
            damaged=[f"{error.where}: {error.message}" for error in damaged],
        )

    @router.get("/{job_id}", response_model=JobWithRequest, responses=documented(404))
    async def get_job(job_id: str) -> Response:
        """The current state of a job, with its progress and its request."""
        # For two `stat` calls, using a thread would cost more.
        body = server.views.body(job_id) if is_quick else await run_in_threadpool(server.views.body, job_id)
        return Response(body, media_type="application/json")


def _add_logs(router: APIRouter, server: Server) -> None:
    @router.get("/{job_id}/logs", response_class=Response, responses=TEXT | documented(404))
    def logs(job_id: str, start: Start = 0, limit: Lines = MOST_LINES, tail: Tail = False) -> Response:
        """The job's output, at most 1,000,000 bytes; request again with Next-Start as `start` to continue."""
        job, records = server.views.job(job_id), server.jobs.records
        if tail:
            text, following = records.last_lines(job.id, limit, start)
        else:
            text = records.first_lines(job.id, limit, start)
            following = start + len(text)
        return Response(text, media_type="text/plain", headers={"Next-Start": str(following)})
