"""The common error format, ``{"error": {"code", "message", "where", "hint"}}``, and the status of each error."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute, Match

from tune_app.api.models import UNKNOWN_KEY, ErrorBody
from tune_app.errors import Conflict, InputError, NotFound, TuneAppError, nearest
from tune_app.jobs.job import KINDS

CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "timeout",
    409: "conflict",
    412: "changed",
    413: "too_large",
    414: "too_large",
    415: "unsupported_media_type",
    416: "range_not_satisfiable",
    422: "invalid",
    431: "too_large",
    500: "internal",
    503: "work_failed",
}
"""The error code for each HTTP status of the API."""
MEANINGS = {
    400: "The request cannot be read, or its Host does not belong to this server.",
    401: "The bearer token is missing or wrong.",
    403: "The request comes from a web page that may not use this server.",
    404: "Not found.",
    405: "The path does not support this method.",
    409: "The request conflicts with the current state.",
    412: "The resource has changed since it was loaded.",
    408: "The request took too long to arrive.",
    413: "The body is too large.",
    414: "The URL is too long.",
    416: "The file does not have this range.",
    422: "The request is not valid.",
    431: "The headers are too large.",
    503: "The work failed: the store cannot be read or written, for example.",
}
EVERYWHERE = (400, 401, 403, 405, 408, 413, 414, 422, 431, 503)
log = logging.getLogger("tune_app.api")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The entries of these statuses for the OpenAPI document."""
    return {status: {"model": ErrorBody, "description": MEANINGS[status]} for status in statuses}


def error_response(
    status: int, message: str, where: str = "", hint: str = "", headers: dict[str, str] | None = None
) -> Response:
    """An error as a response."""
    body = {"error": {"code": CODES.get(status, "error"), "message": message, "where": where, "hint": hint}}
    # ASCII: a message may contain half a surrogate pair from the request.
    return Response(json.dumps(body).encode("ascii"), status, headers, "application/json")


def response_of(error: TuneAppError) -> Response:
    """One of our errors as a response."""
    match error:
        case NotFound():
            status = 404
        case Conflict():
            status = 409
        case InputError():
            status = 422
        case _:
            status = 503
    return error_response(status, error.message, error.where, error.hint)


def refuse_unknown_query(connection: HTTPConnection) -> None:
    """Reject an unknown query parameter: otherwise a mistyped filter would be ignored.

    Raises:
        InputError: there is one.
    """
    valid = [field.alias for field in connection.scope["route"].dependant.query_params]
    for name in connection.query_params if connection.scope["type"] == "http" else ():
        if name not in valid:
            hint = nearest(name, valid) if valid else "this path has none"
            raise InputError(f"there is no query parameter `{name:.100}` here", where=f"query.{name:.100}", hint=hint)


def translate_errors(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Answer every error of `app` in the common format, with the methods that `routes` support for a path."""

    @app.exception_handler(TuneAppError)
    def ours(request: Request, error: TuneAppError) -> Response:
        return response_of(error)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        return _invalid(error)

    @app.exception_handler(WebSocketRequestValidationError)
    async def invalid_socket(socket: WebSocket, error: WebSocketRequestValidationError) -> None:
        await socket.send_denial_response(_invalid(error))

    @app.exception_handler(HTTPException)
    def refused(request: Request, error: HTTPException) -> Response:
        status, where = error.status_code, f"{request.method} {request.url.path}"
        rules = {
            400: "the body must be JSON in UTF-8 without deep nesting",
            404: "the path does not exist",
            405: f"{request.method} is not supported by this path",
        }
        hint = "/docs lists the paths and their methods" if status in (404, 405) else ""
        headers = dict(error.headers or {})
        if status == 405:
            methods = _methods(routes, request)
            headers["Allow"], hint = ", ".join(methods), f"Valid: {', '.join(methods)}"
        return error_response(status, rules.get(status, str(error.detail)), where, hint, headers)

    @app.exception_handler(UnicodeEncodeError)
    def not_unicode(request: Request, error: UnicodeEncodeError) -> Response:
        # JSON may contain half a surrogate pair, and pydantic fails when it describes an unknown key with such a name.
        rule = f"the strings in a request must be valid Unicode, but one has {error.object[error.start : error.end]!r}"
        return error_response(422, rule, "body")

    @app.exception_handler(Exception)
    def broken(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return error_response(500, "internal server error", hint="its log has the details")


def _methods(routes: Sequence[BaseRoute], request: Request) -> list[str]:
    """The methods of a request's path, over all routes."""
    return sorted(
        method
        for route in routes
        if route.matches(request.scope)[0] is not Match.NONE
        for method in getattr(route, "methods", None) or ()
    )


def _invalid(error: RequestValidationError | WebSocketRequestValidationError) -> Response:
    """The first validation error of pydantic: the rule, the value, its place, and what is valid."""
    first = error.errors()[0]
    # For pydantic, the `kind` of a request is part of the place; for the client, it is not a key.
    place = [str(part) for number, part in enumerate(first["loc"]) if number != 1 or part not in KINDS]
    name = next((part for part in reversed(place) if not part.isdecimal()), "")  # a list's, not its item's
    value = repr(first.get("input"))[:100]
    context = first.get("ctx") or {}
    if first["type"] == "json_invalid":
        return error_response(422, f"the body must be JSON, but {context.get('error', 'it is not')}", "body")
    if first["type"] in ("union_tag_not_found", "union_tag_invalid"):
        tag = context.get("tag")
        place.append("kind")
        message = f"`kind` must be {' or '.join(KINDS)}, but got {'nothing' if tag is None else repr(tag)[:100]}"
        hint = nearest(tag, KINDS) if tag is not None else ""
    elif first["type"] == "missing":
        message, hint = f"`{name}` is required", ""
    elif first["type"] == UNKNOWN_KEY:
        place.append(context["key"][:100])
        message = f"there is no key `{context['key']:.100}` here"
        hint = nearest(context["key"], context["valid"], limit=len(context["valid"]))
    else:
        rule = first["msg"].removeprefix("Value error, ")
        rule = rule.replace("a valid dictionary or object to extract fields from", "a JSON object")
        for begin in ("Input should be", "Input should", "String should", "List should", "Value should"):
            rule = rule.replace(begin, "must be" if begin.endswith("be") else "must")
        message = f"`{name}` {rule}, but got {value}" if rule.startswith("must") else f"{rule}, but got {value}"
        hint = ""
        if "expected" in context and isinstance(first.get("input"), str):
            hint = nearest(
                first["input"], [text.strip("'") for text in context["expected"].replace(" or ", ", ").split(", ")]
            )
    return error_response(422, message, ".".join(place), hint)
