"""Converts the body of `POST /jobs` to a job request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tune_app.api.models import Source, SweepRequest, TrainingRequest
from tune_app.api.server import Server
from tune_app.document import Document
from tune_app.errors import InputError, NotFound, WorkFailed, nearest
from tune_app.jobs.job_request import JobRequest, sweep_request, training_request
from tune_app.profiles.profile import Profile
from tune_app.profiles.profiles import find_configuration
from tune_app.spaces.override import OVERRIDES
from tune_app.spaces.webhook import NOTIFY


def space_files(folder: str) -> dict[str, Path]:
    """The search spaces of the server by name; without links that point outside the folder."""
    root = Path(folder).resolve()
    found = {path.stem: path for path in sorted(root.glob("*.yaml")) if path.is_file()}
    return {name: path for name, path in found.items() if path.resolve().is_relative_to(root)}


def asked_request(server: Server, asked: SweepRequest | TrainingRequest) -> JobRequest:
    """The validated request: everything in it exists, is allowed, and fits its task.

    Raises:
        NotFound: something in it does not exist.
        Conflict: the name of the study is taken.
        InputError: it is invalid, or uses something that is not allowed.
    """
    return _sweep(server, asked) if isinstance(asked, SweepRequest) else _training(server, asked)


def _sweep(server: Server, asked: SweepRequest) -> JobRequest:
    document = _document(server.settings.search_spaces, asked)
    server.admission.check(document.data.get("task"), document.data.get("dataset"), document.source)
    given = asked.overrides.model_dump(exclude_none=True)
    overrides: dict[str, Any] = {OVERRIDES[name]: value for name, value in given.items() if name != "set"}
    if asked.overrides.set:
        overrides["parameters"] = dict(asked.overrides.set)
    starts = [*(asked.overrides.start_from or []), *_names(document.mapping("search").get("start_from"))]
    _check_starts(server, starts)
    return sweep_request(
        document,
        overrides,
        server.store,
        server.profiles,
        preflight=asked.preflight,
        fuse=asked.fuse,
    )


def _document(folder: str, asked: SweepRequest) -> Document:
    if asked.space is not None:
        given = asked.space
        document = Document.parse(given, "body.space") if isinstance(given, str) else Document.of(given, "body.space")
        if NOTIFY in document.data:  # otherwise any client could make this machine post to any other
            rule = f"`{NOTIFY}` is not allowed over HTTP"
            hint = "the server's owner can set TUNE_APP_NOTIFY for all of its sweeps"
            raise InputError(rule, where=document.where(NOTIFY), hint=hint)
        return document
    files = space_files(folder)
    if asked.search_space not in files:
        raise NotFound(
            f"there is no search space `{asked.search_space:.100}` in {folder}",
            where="body.search_space",
            hint=nearest(asked.search_space, files, limit=len(files)) if files else "the folder has none",
        )
    return Document.read(files[asked.search_space])


def _names(given: object) -> Sequence[str]:
    """The names in an unchecked `start_from`."""
    return [name for name in given if isinstance(name, str)] if isinstance(given, list) else []


def _check_starts(server: Server, names: Sequence[str]) -> None:
    """Reject profiles and studies to start from whose tasks are not allowed: the job would import them."""
    profiles, studies = server.profiles.names(), server.store.studies()
    for name in names:
        if name in profiles:
            profile = server.profiles.load(name)
            server.admission.check(profile.task, profile.dataset, f"profile {name}")
        elif name in studies:
            found = server.store.study(name).document()
            server.admission.check(found["task"], found["dataset"], f"study {name}")


def _training(server: Server, asked: TrainingRequest) -> JobRequest:
    profile = configuration(server, asked).edited(asked.set, "body.set")
    if asked.epochs is not None and "epochs" in profile.config:
        profile = replace(profile, config={**profile.config, "epochs": asked.epochs}).validated(where="body.epochs")
    return training_request(profile, epochs=asked.epochs, seed=asked.seed, cpus=asked.cpus, gpus=asked.gpus)


def configuration(server: Server, source: Source) -> Profile:
    """The configuration in a request, if its task and data are allowed over HTTP.

    Raises:
        NotFound: there is no such profile, study or trial, or the best trial is requested and none completed.
        InputError: its task or its data is not allowed.
    """
    admission = server.admission
    if source.study is not None:
        found = server.store.study(source.study).document()
        admission.check(found["task"], found["dataset"], f"study {source.study}")
    try:
        profile = find_configuration(
            server.profiles, server.store, profile=source.profile, study=source.study, trial=source.trial
        )
    except WorkFailed as error:
        raise NotFound(error.message, where=error.where, hint=error.hint) from error
    admission.check(profile.task, profile.dataset, f"profile {profile.name}")
    return profile
