"""A small file to which several processes append lines at any time, on disk or on an object store."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from tune_app.errors import InputError, WorkFailed
from tune_app.folder import Folder
from tune_app.readable import writable

TRIES = 50
"""How often other processes may come first before giving up on a line."""

T = TypeVar("T")


class LineLog:
    """One JSON object per line; a line is only appended to what was read, so that no line is lost.

    Attributes:
        name: the file in its folder.
    """

    def __init__(self, folder: Folder, name: str) -> None:
        self._folder, self.name = folder, name

    def stamp(self) -> object:
        """Something that differs after each line that is added."""
        return self._folder.stamp(self.name)

    def read(self, take: Callable[[Mapping[str, Any]], T]) -> list[T]:
        """Apply `take` to each line.

        Raises:
            InputError: the file is damaged; `take` may report that with a ValueError, LookupError or TypeError.
        """
        return self._taken(self._folder.read(self.name), take)

    def add(
        self, line: Mapping[str, Any], take: Callable[[Mapping[str, Any]], T], check: Callable[[list[T]], None]
    ) -> int:
        """Append a line, and return its number, from 0.

        Args:
            check: raises if the line does not fit the existing content.

        Raises:
            InputError: the file is damaged.
            WorkFailed: other processes came first every time.
        """
        text = json.dumps(writable(dict(line)), ensure_ascii=False).encode() + b"\n"
        for _ in range(TRIES):
            content, version = self._folder.read_version(self.name)
            known = self._taken(content, take)
            check(known)
            if self._folder.replace(self.name, (content or b"") + text, version) is not None:
                return len(known)
        raise WorkFailed(
            f"other processes wrote {self._folder.path(self.name)} at the same time, {TRIES} times in a row",
            hint="try again",
        )

    def _taken(self, content: bytes | None, take: Callable[[Mapping[str, Any]], T]) -> list[T]:
        taken = []
        for number, line in enumerate((content or b"").splitlines(), start=1):
            try:
                taken.append(take(dict(json.loads(line))))
            except (ValueError, LookupError, TypeError) as error:
                where = f"{self._folder.path(self.name)}:{number}"
                rule = (
                    f"a line must be a JSON object in this file's format, but got "
                    f"{line[:80].decode(errors='replace')!r}"
                )
                raise InputError(rule, where=where, hint="remove the line; its content is lost") from error
        return taken
