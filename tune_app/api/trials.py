"""Routes of a job's trials."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response

from tune_app.api.error_shape import documented
from tune_app.api.jobs import MOST_LINES, TEXT, Limit, Lines, Offset, Start, Tail
from tune_app.api.models import TrialPage, TrialWithEpochs
from tune_app.api.server import Server
from tune_app.api.trial_views import SORTS, chosen, epoch_view, trial_view, trials_of
from tune_app.errors import NotFound
from tune_app.results.review import trial_log
from tune_app.store.log_lines import first_lines, last_lines

State = Literal["RUNNING", "COMPLETED", "PRUNED", "FAILED", "CANCELLED"]


def routes(server: Server) -> APIRouter:
    """The routes of trials."""
    router = APIRouter(prefix="/jobs/{job_id}/trials", tags=["trials"])

    @router.get("", response_model=TrialPage, responses=documented(404))
    def list_trials(
        job_id: str,
        state: Annotated[list[State] | None, Query(description="Only trials in this state; repeatable.")] = None,
        sort: Annotated[
            str,
            Query(description=f"{', '.join(SORTS)}, metrics.NAME or health.NAME; rank: completed first, best first."),
        ] = "rank",
        order: Annotated[
            Literal["asc", "desc"], Query(description="Trials without the value always come last.")
        ] = "asc",
        offset: Offset = 0,
        limit: Limit = 100,
    ) -> dict[str, Any]:
        """The trials of a job, running ones too: configuration by group, metrics, health, times."""
        job = server.views.job(job_id)
        study = server.study(job)
        if study is None:
            return {"items": [], "total": 0, "offset": offset, "limit": limit}
        facts = server.facts(study)
        with server.logs.reading(study) as history:
            found = chosen(trials_of(history, job, study), state or (), sort, order == "desc", facts.objective)
            part = found[offset : offset + limit]
            items = [trial_view(record, facts.columns, facts.objective, facts.seeded) for record in part]
        return {"items": items, "total": len(found), "offset": offset, "limit": limit}

    @router.get("/{trial}", response_model=TrialWithEpochs, responses=documented(404))
    def get_trial(job_id: str, trial: int) -> dict[str, Any]:
        """One trial with all of its epochs."""
        job = server.views.job(job_id)
        study = server.study(job)
        if study is None:
            why = ": it is a training" if job.kind == "training" else " yet" if job.study else ""
            raise NotFound(f"the job `{job_id}` has no trials{why}")
        facts = server.facts(study)
        with server.logs.reading(study) as history:
            trials = {record.trial: record for record in trials_of(history, job, study)}
            record = trials.get(trial)
            if record is None:
                known = f"{min(trials)} to {max(trials)}" if trials else "none"
                raise NotFound(f"the study `{study.name}` has no trial {trial}", hint=f"its trials: {known}")
            epochs = [epoch_view(record.epochs[number]) for number in sorted(record.epochs)]
            sample = record.row.sample if record.row is not None else None
            return {
                **trial_view(record, facts.columns, facts.objective, facts.seeded),
                "history": epochs,
                "sample": sample,
            }

    _add_log(router, server)
    return router


def _add_log(router: APIRouter, server: Server) -> None:
    @router.get("/{trial}/logs", response_class=Response, responses=TEXT | documented(404))
    def logs(job_id: str, trial: int, start: Start = 0, limit: Lines = MOST_LINES, tail: Tail = False) -> Response:
        """The output of a trial so far; same parameters as the log of a job."""
        job = server.views.job(job_id)
        study = server.study(job)
        if study is None:
            raise NotFound(f"the job `{job_id}` has no trials")
        name = trial_log(study, trial)
        if tail:
            text, following = last_lines(study.folder, name, limit, start)
        else:
            text = first_lines(study.folder, name, limit, start)
            following = start + len(text)
        return Response(text, media_type="text/plain", headers={"Next-Start": str(following)})
