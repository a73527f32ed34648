"""What is known of a data set of ours before it is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tune_app.datasets.dataset import Dataset

Loader = Callable[[Sequence[Path]], Dataset]
"""Makes the data set from its files, in the order of `Entry.files`; none for one that is embedded."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a data set and where it comes from.

    Attributes:
        name: what it is called in the cache folder and on a mirror of one's own.
        addresses: its official address, then mirrors, in the order in which they are tried.
        checksum: what it must hold, whatever address it comes from: ``md5:…`` or ``sha256:…``.
        bytes: how many bytes it has, rounded up; a server that sends many more is cut off.
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
        kind: ``image``, ``labelled_text`` or ``text``; see `tune_app.datasets.dataset.Dataset`.
        description: one line: how many of what, and the split.
        licence: as its authors state it.
        load: makes it from its files.
        files: what is downloaded; empty for an embedded data set.
        archives: where the files are archives: what others that are laid out alike are called, as a pattern.
        slow: whether its files take seconds to read, so that what was read is kept beside them.
        terms: what must be accepted before the download; None where nothing must be.
    """

    name: str
    kind: str
    description: str
    licence: str
    load: Loader
    files: tuple[RemoteFile, ...] = ()
    archives: str | None = None
    slow: bool = False
    terms: str | None = None

    @property
    def bytes(self) -> int:
        """How much is downloaded."""
        return sum(file.bytes for file in self.files)
