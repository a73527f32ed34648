"""The review page behind a guard, as `tune-app ui` serves it: it answers only requests under its own name.

Streamlit itself compares names without their ports and lets in pages of every server on this machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose
from streamlit import config
from streamlit.starlette import App

from tune_app.api.listening import LOCAL_HOSTS, is_loopback, name_and_port


class PageGuard:
    """Rejects requests that name another host (400) or come from a web page of another origin (403).

    Args:
        names: of the page on this machine; None if it is reachable from elsewhere and has a token.
        port: that it listens on.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str], port: int) -> None:
        self._app = app
        self._names = names
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer rejected requests, pass on the rest."""
        refused = self._refused(scope) if scope["type"] in ("http", "websocket") else None
        if refused is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
        else:
            await PlainTextResponse(refused[1], refused[0])(scope, receive, send)

    def _refused(self, scope: Scope) -> tuple[int, str] | None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        name, port = name_and_port(host)
        if self._names and (name not in self._names or port != self._port):
            return 400, f"the Host must match this page, such as localhost:{self._port}, but got {host:.100}"
        if origin is not None and origin.partition("://")[2] != host:
            return 403, f"a web page of {origin:.100} may not use this page"
        return None


_is_local = is_loopback(config.get_option("server.address") or "")
_names = (*LOCAL_HOSTS, *config.get_option("server.allowedHosts")) if _is_local else ()
app = App(
    Path(__file__).with_name("review_page.py"),
    middleware=[Middleware(PageGuard, names=_names, port=config.get_option("server.port"))],
)
