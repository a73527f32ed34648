"""Limits the size of request bodies."""

from __future__ import annotations

import anyio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tune_app.api.error_shape import error_response

BODY_S = 30.0
"""Time limit for a body to arrive, in seconds."""


class BodyLimit:
    """Answers 413 if a body is larger than `largest` bytes, without reading more than that.

    If a body does not arrive within `BODY_S`, answers 408.
    """

    def __init__(self, app: ASGIApp, largest: int) -> None:
        self._app = app
        self._largest = largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, which is small for all routes, and pass it on in one piece."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        messages: list[Message] = []
        try:
            with anyio.fail_after(BODY_S):
                whole = await self._take(scope, receive, messages)
        except TimeoutError:
            await _refuse(408, f"a body must arrive within {BODY_S:g} s", scope, receive, send)
            return
        if not whole:
            rule = f"a request may carry {self._largest:,} bytes, but this one has more"
            await _refuse(413, rule, scope, receive, send)
            return

        async def replay() -> Message:
            return messages.pop(0) if messages else await receive()

        await self._app(scope, replay, send)

    async def _take(self, scope: Scope, receive: Receive, messages: list[Message]) -> bool:
        """Read the body into `messages`; returns whether it is within the limit."""
        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isdecimal() and int(announced) > self._largest:
            return False
        taken = 0
        while taken <= self._largest:
            message = await receive()
            messages.append(message)
            taken += len(message.get("body", b""))
            if message["type"] != "http.request" or not message.get("more_body", False):
                break
        return taken <= self._largest


async def _refuse(status: int, message: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with an error, and ignore the rest of the body."""
    refusal = error_response(status, message, headers={"Connection": "close"})
    await refusal(scope, receive, send)
