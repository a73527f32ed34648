"""What is known about one of our data sets before it is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tune_app.datasets.dataset import Dataset

Loader = Callable[[Sequence[Path]], Dataset]
"""Creates the data set from its files, in the order of `Entry.files`; no files if it is embedded."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a data set and where it comes from.

    Attributes:
        name: its name in the cache folder and on a user's mirror.
        addresses: its official address, then mirrors, in the order to try them.
        checksum: of its content, for all addresses: ``md5:…`` or ``sha256:…``.
        bytes: how many bytes it has, rounded up; a download with many more is aborted.
    """

    name: str
    addresses: tuple[str, ...]
    checksum: str
    bytes: int


@dataclass(frozen=True)
class Entry:
    """One of our data sets.

    Attributes:
        name: what search spaces call it.
        kind: ``image``, ``labeled_text`` or ``text``; see `tune_app.datasets.dataset.Dataset`.
        description: one line: how many of what, and the split.
        license: as stated by its authors.
        load: creates it from its files.
        files: what is downloaded; empty for an embedded data set.
        archives: if the files are archives: the name pattern of others with the same layout.
        slow: whether its files take seconds to read, so that the result is cached next to them.
        terms: what must be accepted before the download; None if there are no terms.
    """

    name: str
    kind: str
    description: str
    license: str
    load: Loader
    files: tuple[RemoteFile, ...] = ()
    archives: str | None = None
    slow: bool = False
    terms: str | None = None

    @property
    def bytes(self) -> int:
        """The size of the download."""
        return sum(file.bytes for file in self.files)
