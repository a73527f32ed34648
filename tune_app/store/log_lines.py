"""Lines of a log in the store, which may be long and growing."""

from __future__ import annotations

from tune_app.folder import Folder

LARGEST_PIECE = 1_000_000
"""Maximum bytes of a log to read at once: it may be larger than the memory."""
FIRST_LOOK = 64_000
"""How many bytes to read to find some lines; more only if that is not enough."""


def first_lines(folder: Folder, name: str, count: int, start: int = 0) -> bytes:
    """At most `count` lines of the file from byte `start`, and at most `LARGEST_PIECE` bytes."""
    size = FIRST_LOOK
    while True:
        text = folder.read(name, start, size) or b""
        lines = text.split(b"\n", count)
        if len(lines) > count:
            return text[: len(text) - len(lines[-1])]
        if len(text) < size or size == LARGEST_PIECE:
            return text
        size = min(4 * size, LARGEST_PIECE)


def last_lines(folder: Folder, name: str, count: int, begin: int = 0) -> tuple[bytes, int]:
    """At most `count` lines from the end of the file, and the byte after them. They do not start before byte `begin`,
    and have at most `LARGEST_PIECE` bytes.
    """
    end = folder.size(name) or 0
    size = FIRST_LOOK
    while True:
        start = max(begin, end - size)
        text = folder.read(name, start, max(0, end - start)) or b""
        before = text.removesuffix(b"\n").rsplit(b"\n", count)
        if len(before) > count:
            return text[len(before[0]) + 1 :], end
        if start == begin or size == LARGEST_PIECE:
            return text, max(begin, end)
        size = min(4 * size, LARGEST_PIECE)
