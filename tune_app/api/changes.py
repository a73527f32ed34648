"""The route that changes the sweep of a job while it runs."""

from __future__ import annotations

from fastapi import APIRouter, Request

from tune_app.api.error_shape import documented
from tune_app.api.models import ChangeAnswers, ChangeRequest
from tune_app.api.server import Server, asker
from tune_app.errors import Conflict, InputError
from tune_app.store.sweep_changes import SweepChanges, changes_of


def routes(server: Server) -> APIRouter:
    """The routes of changes."""
    router = APIRouter(prefix="/jobs/{job_id}", tags=["jobs"])

    @router.post("/change", responses=documented(404, 409))
    def change(job_id: str, asked: ChangeRequest, request: Request) -> ChangeAnswers:
        """Ask the running sweep to stop or retry trials, or to run more or fewer; returns its responses."""
        at_once = 0 if asked.concurrent == "auto" else asked.concurrent
        wanted = changes_of(asked.stop, asked.retry, asked.trials, at_once, asker(request))
        if not wanted:
            raise InputError("there is nothing to change", where="body", hint="Valid: stop, retry, trials, concurrent")
        study = server.study(server.views.job(job_id))
        if study is None:
            raise Conflict(f"the job `{job_id}` has no running sweep")
        changes = SweepChanges(study)
        return ChangeAnswers(answers=[changes.answer_to(change) for change in wanted])

    return router
