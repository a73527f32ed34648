"""Routes of users' notes on the trials of a job: stars, tags, notes."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from tune_app.api.error_shape import documented
from tune_app.api.models import NoteFacts, NoteRequest
from tune_app.api.server import Server, asker
from tune_app.errors import NotFound
from tune_app.store.study import Study
from tune_app.store.trial_notes import TrialNote, TrialNotes


def routes(server: Server) -> APIRouter:
    """The routes of notes."""
    router = APIRouter(prefix="/jobs/{job_id}", tags=["trials"])

    @router.get("/notes", response_model=list[NoteFacts], responses=documented(404))
    def list_notes(job_id: str) -> list[dict[str, Any]]:
        """The notes on a job's trials, without trials that have none."""
        study = server.study(server.views.job(job_id))
        said = TrialNotes(study).read() if study else {}
        return [_view(trial, said[trial]) for trial in sorted(said)]

    @router.get("/trials/{trial}/note", response_model=NoteFacts, responses=documented(404))
    def get_note(job_id: str, trial: int) -> dict[str, Any]:
        """The note, star and tags of one trial."""
        return _note(_study(server, job_id, trial), trial)

    @router.post("/trials/{trial}/note", response_model=NoteFacts, responses=documented(404, 409))
    def say(job_id: str, trial: int, asked: NoteRequest, request: Request) -> dict[str, Any]:
        """Write a note, add or remove the star, add tags, remove tags, in this order; returns the result."""
        study = _study(server, job_id, trial)
        notes, by = TrialNotes(study), asker(request)
        if asked.note is not None:
            notes.write(trial, asked.note, asked.edits, by)
        if asked.star is not None:
            notes.star(trial, asked.star, by)
        for tag in asked.tags:
            notes.tag(trial, tag, by)
        for tag in asked.untags:
            notes.untag(trial, tag, by)
        return _note(study, trial)

    return router


def _study(server: Server, job_id: str, trial: int) -> Study:
    """The study of a job.

    Raises:
        NotFound: it has no such trial.
    """
    study = server.study(server.views.job(job_id))
    if study is None:
        raise NotFound(f"the job `{job_id}` has no trials")
    with server.logs.reading(study) as history:
        numbers = sorted(history.trials)
    if trial not in numbers:
        known = f"{numbers[0]} to {numbers[-1]}" if numbers else "none"
        raise NotFound(f"the study `{study.name}` has no trial {trial}", hint=f"its trials: {known}")
    return study


def _note(study: Study, trial: int) -> dict[str, Any]:
    return _view(trial, TrialNotes(study).read().get(trial, TrialNote()))


def _view(trial: int, note: TrialNote) -> dict[str, Any]:
    return {
        "trial": trial,
        "star": note.star,
        "tags": list(note.tags),
        "note": note.text or None,
        "edits": note.edits,
        "by": note.by,
    }
