"""Limits on a client's connection before the client is authenticated."""

from __future__ import annotations

import asyncio
from asyncio.events import TimerHandle
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from tune_app.api.error_shape import error_response

LARGEST_HEAD = 65_536
"""Maximum total bytes of a request's first line and headers."""
HEAD_S = 10.0
"""Time limit in seconds for them to arrive; the same after an answered request."""
MOST_CONNECTIONS = 500
"""Maximum connections at once, including WebSockets: each takes a file descriptor, and a process often has 1,024."""


class LimitedConnection(HttpToolsProtocol):
    """Rejects requests that are too large, too slow or too many, before they reach the application.

    The head of a request is counted as it arrives, because the parser keeps it in memory.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._taken = 0
        self._in_body = False
        self._late: TimerHandle | None = None
        self._refusal = 400, "the request must be well-formed HTTP", ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            self._refuse(
                503, f"the server accepts at most {MOST_CONNECTIONS} connections at once", "try again in a moment"
            )
        else:
            self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the time limit."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass `data` to the parser, and reject an endless head."""
        if self.transport.is_closing():
            return
        if self._late is None and (self.cycle is None or self.cycle.response_complete):
            self._wait_for_head()
        self._taken += 0 if self._in_body else len(data)
        super().data_received(data)
        if (
            self._late is not None
            and not self._in_body
            and self._taken > LARGEST_HEAD
            and not self.transport.is_closing()
        ):
            self.send_400_response(self._too_large())

    def handle_websocket_upgrade(self) -> None:
        """Pass the connection on to the WebSocket."""
        self._stop_waiting()
        super().handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        """Start a request; does not count other data that arrived with its first bytes and may belong to another
        one."""
        super().on_message_begin()
        self._taken = 0

    def on_headers_complete(self) -> None:
        """Pass the request to the application, unless its head is too large, which the parser then reports."""
        self._stop_waiting()
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > LARGEST_HEAD:
            raise ValueError(self._too_large())
        self._in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End a request."""
        self._in_body = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer requests that the parser rejects, in the common error format."""
        self._refuse(*self._refusal)

    def _too_large(self) -> str:
        if len(self.url) > LARGEST_HEAD:
            self._refusal = 414, f"a URL may have {LARGEST_HEAD:,} bytes, but this one has more", ""
        else:
            rule = f"the first line and the headers may have {LARGEST_HEAD:,} bytes together, but these have more"
            self._refusal = 431, rule, ""
        return self._refusal[1]

    def _wait_for_head(self) -> None:
        self._taken = 0
        self._late = self.loop.call_later(HEAD_S, self._too_late)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _too_late(self) -> None:
        if self._in_body:  # of a request that was answered without it
            self.transport.close()
        elif not self.transport.is_closing():
            self._refuse(408, f"the request line and headers must arrive within {HEAD_S:g} s", "")

    def _refuse(self, status: int, message: str, hint: str) -> None:
        """Answer with an error and close."""
        self._stop_waiting()
        answer = error_response(status, message, hint=hint, headers={"Connection": "close"})
        head = b"".join(name + b": " + value + b"\r\n" for name, value in answer.raw_headers)
        self.transport.write(b"HTTP/1.1 %d \r\n%s\r\n%s" % (status, head, bytes(answer.body)))
        self.transport.close()


class RefusableWebSocket(WebSocketsSansIOProtocol):
    """A WebSocket that may be rejected with a response, which uvicorn mistakes for a missing answer."""

    async def send(self, message: Any) -> None:
        """Send the application's message; a complete response ends the handshake."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True
