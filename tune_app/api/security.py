"""Who may use the server: the token, the Host header, the origin of web pages."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tune_app.api.error_shape import error_response
from tune_app.api.listening import LOCAL_HOSTS, name_and_port

OPEN_PATHS = ("/docs", "/docs/oauth2-redirect", "/openapi.json")
"""What a browser has to open before it can show a token; it holds nothing of the user's."""
SUBPROTOCOL = "bearer"
"""Browsers cannot send an Authorization header with a WebSocket: they offer the subprotocols ``bearer, TOKEN``."""


class Guard:
    """Refuses requests, and WebSockets before they open, with 401 for the token, 400 for the host, 403 for the origin.

    Without a token, which only a server on loopback may do without, the Host header must name this machine: a web page
    whose name was pointed to 127.0.0.1 would else be let in (DNS rebinding). What a browser sends for a page of
    another origin is refused in any case, as it may carry no token and still do something.

    Args:
        token: what clients have to show; None for nothing.
        hosts: names of this machine, besides those of loopback.
        origins: of web pages that may use the server, besides its own.
    """

    def __init__(self, app: ASGIApp, token: str | None, hosts: Sequence[str], origins: Sequence[str]) -> None:
        self._app = app
        self._token = None if token is None else _digest(token)
        self._hosts = {*LOCAL_HOSTS, *hosts}
        self._origins = set(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that is refused, hand on another."""
        refusal = self._refusal(scope) if scope["type"] in ("http", "websocket") else None
        await (self._app if refusal is None else refusal)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._token is None and name_and_port(host)[0] not in self._hosts:
            return error_response(
                400, f"the Host must be a name of this machine, but got `{host}`", hint="use 127.0.0.1"
            )
        origin = headers.get("origin")
        if origin is not None and origin not in self._origins and origin.partition("://")[2] != host:
            return error_response(
                403,
                f"a web page of `{origin}` may not use this server",
                hint="`tune-app serve --allow-origin` lets one in",
            )
        preflight = scope.get("method") == "OPTIONS" and origin in self._origins
        if self._token is None or preflight or (scope["type"] == "http" and scope["path"] in OPEN_PATHS):
            return None
        if hmac.compare_digest(_digest(_shown_token(headers)), self._token):
            return None
        return error_response(
            401,
            "a bearer token is required, and the one that was given is not it",
            "header Authorization",
            "send `Authorization: Bearer TOKEN`; whoever started the server knows the token",
            {"WWW-Authenticate": "Bearer"},
        )


def offers_token(headers: Headers) -> bool:
    """Whether a WebSocket shows its token as a subprotocol, which must then be answered."""
    return _offered(headers)[:1] == [SUBPROTOCOL]


def _shown_token(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    offered = _offered(headers)
    return offered[1] if offered[:1] == [SUBPROTOCOL] and len(offered) == 2 else ""


def _offered(headers: Headers) -> list[str]:
    return [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",")]


def _digest(text: str) -> bytes:
    """Of equal length for all texts, so that comparing takes the same time for all."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
