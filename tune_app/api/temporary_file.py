"""A file for one response, sent completely or in part, and always removed with its folder."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from starlette.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send

from tune_app.api.error_shape import error_response


class TemporaryFile(FileResponse):
    """Sends the file at `path` as a download and removes the folder that it is in.

    The ETag is the SHA-256 of the file: a resumed download gets the rest of the same bytes, or all of the new ones.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        tag = {"ETag": f'"{digest}"'}
        super().__init__(path, headers=tag, media_type="application/octet-stream", filename=path.name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the requested part; an invalid Range gets an error in the common format."""
        refused = False

        async def send_shaped(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and message["status"] in (400, 416):
                refused = True
                size = Path(self.path).stat().st_size
                refusal = error_response(
                    message["status"],
                    f"a Range must be within bytes 0 to {size - 1}",
                    "header Range",
                    "such as `bytes=1000-` for everything from byte 1000",
                    {"Content-Range": f"bytes */{size}"} if message["status"] == 416 else None,
                )
                await refusal(scope, receive, send)
            elif not refused:
                await send(message)

        try:
            await super().__call__(scope, receive, send_shaped)
        finally:
            shutil.rmtree(Path(self.path).parent, ignore_errors=True)
