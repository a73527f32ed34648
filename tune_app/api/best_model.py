"""Routes of a job's best model: what it is, and its weights."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.background import BackgroundTask
from starlette.responses import FileResponse

from tune_app.api.error_shape import documented
from tune_app.api.models import BestModel
from tune_app.api.server import Server
from tune_app.api.trial_views import chosen, trial_view
from tune_app.errors import NotFound, TuneAppError
from tune_app.store import Study, TrialRecord

MEDIA_TYPE = "application/octet-stream"


def routes(server: Server) -> APIRouter:
    """The routes of best models."""
    router = APIRouter(prefix="/jobs/{job_id}/best-model", tags=["best model"])

    @router.get("", response_model=BestModel, responses=documented(404))
    def best_model(job_id: str) -> dict[str, Any]:
        """The best completed trial so far: its configuration, its metrics, and the layers of its network.

        The first time for a trial this takes seconds: its network is built again.
        """
        study, record, trial = _best(server, job_id)
        facts = server.facts(study)
        document = facts.document
        layers, missing = None, None
        try:
            server.admission.check(document["task"], document["dataset"], f"study {study.name}")
            layers = server.layers(study, record.trial, f"{record.trial_id}-{record.attempt}")
        except TuneAppError as error:
            missing = error.message
        return {
            "study": study.name,
            "task": document["task"],
            "dataset": document["dataset"],
            "metric": facts.objective.metric,
            "direction": facts.objective.direction,
            "trial": trial,
            "configuration": trial["configuration"],
            "metrics": trial["metrics"],
            "layers": layers,
            "layers_missing": missing,
        }

    @router.get(
        "/download",
        response_class=FileResponse,
        responses={
            200: {
                "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
                "description": "The file.",
            },
            **documented(404),
        },
    )
    def download(job_id: str) -> FileResponse:
        """The weights of the best trial with its configuration, for `torch.load(file, weights_only=True)`."""
        from tune_app.weights import write_weights  # it imports torch

        study, record, _ = _best(server, job_id)
        folder = Path(tempfile.mkdtemp(prefix="tune-app-weights-"))
        name = f"{study.name}-{record.trial}.pt"
        try:
            write_weights(study, record, folder / name)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        cleared = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
        return FileResponse(folder / name, media_type=MEDIA_TYPE, filename=name, background=cleared)

    return router


def _best(server: Server, job_id: str) -> tuple[Study, TrialRecord, dict[str, Any]]:
    """The study of a job and its best completed trial, also as a document.

    Raises:
        NotFound: there is no such job, or nothing completed.
    """
    job = server.views.job(job_id)
    study = server.study(job)
    if study is not None:
        facts = server.facts(study)
        with server.logs.reading(study) as history:
            for record in chosen(history, ("COMPLETED",), "rank", False, facts.objective)[:1]:
                return study, record, trial_view(record, facts.columns, facts.objective)
    raise NotFound(
        f"no trial of the job `{job_id}` completed, so it has no best model",
        hint=f"GET /jobs/{job_id}/trials shows what happened"
        if job.study
        else "a training leaves its model in the store",
    )
