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
"""Pages that a browser must open before it can send a token; they contain no user data."""
SUBPROTOCOL = "bearer"
"""Browsers cannot send an Authorization header with a WebSocket: they offer the subprotocols ``bearer, TOKEN``."""


class Guard:
    """Rejects requests, and WebSockets before they open, with 401 for the token, 400 for the host, 403 for the origin.

    Without a token, which is only allowed on loopback, the Host header must name this machine: otherwise a web page
    whose name resolves to 127.0.0.1 would have access (DNS rebinding). Requests from pages of another origin are
    always rejected, because they may have effects even without a token.

    Args:
        token: what clients must send; None for no token.
        hosts: additional names of this machine, besides loopback.
        origins: additional origins of web pages that may use the server, besides its own.
    """

    def __init__(self, app: ASGIApp, token: str | None, hosts: Sequence[str], origins: Sequence[str]) -> None:
        self._app = app
        self._token = None if token is None else _digest(token)
        self._hosts = {*LOCAL_HOSTS, *hosts}
        self._origins = set(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reject the request or pass it on."""
        refusal = self._refusal(scope) if scope["type"] in ("http", "websocket") else None
        await (self._app if refusal is None else refusal)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        name = name_and_port(host)[0]
        if host and not name:
            return error_response(400, f"the Host must be a name or an address, such as HOST:8000, but got `{host}`")
        if self._token is None and name not in self._hosts:
            return error_response(400, f"the Host must be this machine, but got `{host}`", hint="use 127.0.0.1")
        origin = headers.get("origin")
        if origin is not None and origin not in self._origins and origin.partition("://")[2] != host:
            return error_response(
                403,
                f"a web page of `{origin}` may not use this server",
                hint="`tune-app serve --allow-origin` allows one",
            )
        preflight = scope.get("method") == "OPTIONS" and origin in self._origins
        if self._token is None or preflight or (scope["type"] == "http" and scope["path"] in OPEN_PATHS):
            return None
        if hmac.compare_digest(_digest(_shown_token(headers)), self._token):
            return None
        return error_response(
            401,
            "the bearer token is missing or wrong",
            "header Authorization",
            "send `Authorization: Bearer TOKEN`; the person who started the server knows the token",
            {"WWW-Authenticate": "Bearer"},
        )


def offers_token(headers: Headers) -> bool:
    """Whether a WebSocket sends its token as a subprotocol, which must then be confirmed."""
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
    """A digest of constant length, so that comparing always takes the same time."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
