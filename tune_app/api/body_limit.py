"""How much a request may carry."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tune_app.api.error_shape import error_response


class BodyLimit:
    """Answers 413 to a request whose body is larger than `largest` bytes, without taking in more than that."""

    def __init__(self, app: ASGIApp, largest: int) -> None:
        self._app = app
        self._largest = largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take in the body, which for all routes is small, and hand it on whole."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        messages: list[Message] = []
        taken = 0
        too_large = announced.isdecimal() and int(announced) > self._largest
        while not too_large:
            message = await receive()
            messages.append(message)
            taken += len(message.get("body", b""))
            too_large = taken > self._largest
            if message["type"] != "http.request" or not message.get("more_body", False):
                break
        if too_large:
            refusal = error_response(
                413,
                f"a request may carry {self._largest:,} bytes, but this one has more",
                headers={"Connection": "close"},
            )
            await refusal(scope, receive, send)
            return

        async def replay() -> Message:
            return messages.pop(0) if messages else await receive()

        await self._app(scope, replay, send)
