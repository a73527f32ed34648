"""Routes of a job's best model: its description and its weights."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.responses import FileResponse

from tune_app.api.error_shape import documented
from tune_app.api.models import BestModel
from tune_app.api.server import Server
from tune_app.api.temporary_file import TemporaryFile
from tune_app.api.trial_views import chosen, trial_view, trials_of
from tune_app.errors import NotFound, TuneAppError
from tune_app.jobs.job import Job
from tune_app.store.event_log import TrialRecord
from tune_app.store.study import Study
from tune_app.store.training_record import TrainingRecord, read_training, record_path

MEDIA_TYPE = "application/octet-stream"
BINARY = {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}
TAG = {"ETag": {"description": "The SHA-256 of the file, for If-Range.", "schema": {"type": "string"}}}


def routes(server: Server) -> APIRouter:
    """The routes of best models."""
    router = APIRouter(prefix="/jobs/{job_id}/best-model", tags=["best model"])

    @router.get("", response_model=BestModel, responses=documented(404))
    def best_model(job_id: str) -> dict[str, Any]:
        """The best completed trial so far, or the result of a training run: configuration, metrics, layers.

        The first request for a trial or a training run takes seconds, because its network is rebuilt.
        """
        job = server.views.job(job_id)
        return _of_training(server, job) if job.kind == "training" else _of_sweep(server, job)

    @router.get(
        "/download",
        response_class=FileResponse,
        responses={
            200: {"content": BINARY, "description": "The file.", "headers": TAG},
            206: {"content": BINARY, "description": "The part requested by the Range header.", "headers": TAG},
            **documented(404, 416),
        },
    )
    def download(job_id: str) -> TemporaryFile:
        """The weights of the best trial, or of a training run, with the configuration.

        For `torch.load(file, weights_only=True)`. Range and If-Range resume a download.
        """
        from tune_app.results.network.weights import write_training_weights, write_weights  # it imports torch

        job = server.views.job(job_id)
        folder = Path(tempfile.mkdtemp(prefix="tune-app-weights-"))
        try:
            if job.kind == "training":
                name = f"{job.id}.pt"
                write_training_weights(server.store.folder, _trained(server, job), folder / name)
            else:
                study, record, _ = _best(server, job)
                name = f"{study.name}-{record.trial}.pt"
                write_weights(study, record, folder / name)
            return TemporaryFile(folder / name)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    return router


def _of_sweep(server: Server, job: Job) -> dict[str, Any]:
    study, record, trial = _best(server, job)
    facts = server.facts(study)
    return {
        "study": study.name,
        "metric": facts.objective.metric,
        "direction": facts.objective.direction,
        "trial": trial,
        "training": None,
        "configuration": trial["configuration"],
        "metrics": trial["metrics"],
        **_network(server, facts.document, study.name, record.trial, f"{record.started_at}-{record.attempt}"),
    }


def _of_training(server: Server, job: Job) -> dict[str, Any]:
    trained = _trained(server, job)
    kept = ("epochs", "seed", "device", "model_parameters", "latency_ms")
    return {
        **dict.fromkeys(("study", "metric", "direction", "trial")),
        "training": {"training": job.id, **{key: trained.facts[key] for key in kept}, "health": trained.health},
        "configuration": trained.config,
        "metrics": trained.metrics,
        **_network(server, trained.facts, job.id, None, str(server.store.folder.stamp(record_path(job.id)))),
    }


def _network(server: Server, source: dict[str, Any], name: str, trial: int | None, version: str) -> dict[str, Any]:
    """Task, data set and layers, or the reason if the network cannot or may not be built here."""
    layers, missing = None, None
    kind = "training" if trial is None else "study"
    try:
        server.admission.check(source["task"], source["dataset"], f"{kind} {name}")
        layers = server.layers(name, trial, version)
    except TuneAppError as error:
        missing = error.message
    return {"task": source["task"], "dataset": source["dataset"], "layers": layers, "layers_missing": missing}


def _trained(server: Server, job: Job) -> TrainingRecord:
    """The result of a training run.

    Raises:
        NotFound: it did not succeed.
        InputError: its record is damaged.
    """
    if job.state != "SUCCEEDED":
        raise NotFound(
            f"the training `{job.id}` is {job.state}, so it has no model", hint=f"GET /jobs/{job.id}/logs shows more"
        )
    return read_training(server.store.folder, job.id)


def _best(server: Server, job: Job) -> tuple[Study, TrialRecord, dict[str, Any]]:
    """The study of a job and its best completed trial, also as a document.

    Raises:
        NotFound: nothing completed.
    """
    study = server.study(job)
    if study is not None:
        facts = server.facts(study)
        with server.logs.reading(study) as history:
            for record in chosen(trials_of(history, job, study), ("COMPLETED",), "rank", False, facts.objective)[:1]:
                return study, record, trial_view(record, facts.columns, facts.objective, facts.seeded)
    raise NotFound(
        f"no trial of the job `{job.id}` completed, so it has no best model",
        hint=f"GET /jobs/{job.id}/trials shows what happened",
    )
