"""Routes of profiles and of the session."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Response
from pydantic import WithJsonSchema

from tune_app.api.error_shape import documented, error_response
from tune_app.api.models import ProfileFacts, ProfileLine, ProfileRequest, RevisionLine, SessionRequest
from tune_app.api.server import Server
from tune_app.api.submission import configuration
from tune_app.document import Document
from tune_app.errors import Conflict, InputError
from tune_app.naming import NAME_PATTERN
from tune_app.profiles.profile import SCHEMA_VERSION, Profile
from tune_app.profiles.profile_document import read_document
from tune_app.profiles.profiles import differences

IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", description='The loaded revision, as in the ETag header: `"3"`.'),
    WithJsonSchema({"type": "string", "pattern": '^ *"?[0-9]{1,9}"? *$'}),
]
Name = Annotated[str, Path(json_schema_extra={"pattern": f"^{NAME_PATTERN.pattern}$"})]


def routes(server: Server) -> APIRouter:
    """The routes of profiles and of the session."""
    router = APIRouter(tags=["profiles"])
    _add_reading(router, server)
    _add_changing(router, server)
    _add_session(router, server)
    return router


def _add_reading(router: APIRouter, server: Server) -> None:
    profiles = server.profiles

    @router.get("/profiles", response_model=list[ProfileLine])
    def list_profiles() -> list[dict[str, Any]]:
        """The profiles."""
        return [_line(server, name) for name in profiles.names()]

    @router.get("/profiles/{name}", response_model=ProfileFacts, responses=documented(404))
    def get_profile(
        name: Name,
        response: Response,
        revision: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="An earlier revision.")] = None,
    ) -> dict[str, Any]:
        """A profile; its revision is also in the ETag header."""
        found = profiles.load(name, revision)
        response.headers["ETag"] = f'"{found.revision}"'
        return found.to_dict()

    @router.get("/profiles/{name}/history", response_model=list[RevisionLine], responses=documented(404))
    def history(name: Name) -> list[dict[str, Any]]:
        """The revisions of a profile, even a deleted one, with the changes of each."""
        numbers = profiles.revisions(name)
        if not numbers:
            profiles.load(name)
        lines: list[dict[str, Any]] = []
        former: Profile | None = None
        for number in numbers:
            found = profiles.load(name, number)
            lines.append(
                {
                    "revision": number,
                    **{key: found.provenance.get(key) for key in ("saved_at", "study", "trial")},
                    "note": found.note,
                    "changed": differences(former, found) if former else {},
                }
            )
            former = found
        return lines


def _add_changing(router: APIRouter, server: Server) -> None:
    profiles = server.profiles

    @router.put(
        "/profiles/{name}",
        response_model=ProfileFacts,
        responses={201: {"model": ProfileFacts, "description": "It is new."}, **documented(404, 409, 412)},
    )
    def put_profile(name: Name, asked: ProfileRequest, response: Response, if_match: IfMatch = None) -> Any:
        """Save a profile; to replace one, the request must name its current revision.

        Pass the revision in `revision`, where a mismatch returns 409, or in the If-Match header, where it returns 412.
        Earlier revisions are kept.
        """
        tagged = _revision(if_match)
        if tagged is not None and asked.revision not in (None, tagged):
            raise InputError(f"`revision` and If-Match must agree, but are {asked.revision} and {tagged}")
        loaded = tagged if tagged is not None else asked.revision or 0
        profile = _wanted(server, name, asked)
        try:
            saved = profiles.save(profile, loaded_revision=loaded)
        except Conflict as error:
            hint = f"read it with GET /profiles/{name}, then save again with its revision"
            return error_response(409 if tagged is None else 412, error.message, f"profile {name}", hint)
        response.status_code = 200 if loaded else 201
        response.headers["ETag"] = f'"{saved.revision}"'
        return saved.to_dict()

    @router.delete("/profiles/{name}", status_code=204, responses=documented(404, 412))
    def delete_profile(name: Name, if_match: IfMatch = None) -> Response:
        """Remove a profile; its revisions stay in its history."""
        try:
            profiles.delete(name, loaded_revision=_revision(if_match))
        except Conflict as error:
            return error_response(412, error.message, f"profile {name}", f"read it with GET /profiles/{name}")
        return Response(status_code=204)


def _add_session(router: APIRouter, server: Server) -> None:
    profiles = server.profiles

    @router.get("/session", response_model=ProfileFacts, tags=["session"], responses=documented(404))
    def get_session() -> dict[str, Any]:
        """The current configuration, which `tune-app train` uses by default."""
        return profiles.session().to_dict()

    @router.post("/session", response_model=ProfileFacts, tags=["session"], responses=documented(404))
    def apply(asked: SessionRequest) -> dict[str, Any]:
        """Make a configuration current: of a trial, of a study's best trial, or of a profile."""
        return profiles.apply(configuration(server, asked).edited(asked.set, "body.set")).to_dict()


def _line(server: Server, name: str) -> dict[str, Any]:
    line: dict[str, Any] = dict.fromkeys(ProfileLine.model_fields)
    try:
        found = server.profiles.load(name)
    except InputError as error:
        return {**line, "name": name, "invalid": error.message}
    kept = {key: found.provenance.get(key) for key in ("study", "trial", "saved_at")}
    facts = {key: getattr(found, key) for key in ("name", "revision", "task", "dataset", "note")}
    return {**line, **kept, **facts, "objective": found.measured}


def _wanted(server: Server, name: str, asked: ProfileRequest) -> Profile:
    if asked.source is not None:
        profile = replace(configuration(server, asked.source), name=name)
    else:
        server.admission.check(asked.task, asked.dataset, "body")
        given = asked.model_dump(include={"task", "dataset", "config", "constraints", "provenance"}, exclude_none=True)
        profile = read_document(
            Document.of({"schema_version": SCHEMA_VERSION, "name": name, **given}, "body"), server.profiles.catalog
        )
    if asked.note is not None:
        note = Document.of({"note": asked.note}, "body").data["note"]
        profile = replace(profile, note=note)
    return profile.edited(asked.set, "body.set")


def _revision(tag: str | None) -> int | None:
    """The revision in an If-Match header.

    Raises:
        InputError: it is not a revision.
    """
    if tag is None:
        return None
    text = tag.strip().strip('"')
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise InputError(f'If-Match must be one revision, such as "3", but got {tag!r:.50}', where="header If-Match")
    return int(text)
