"""Reading tar and zip files member by member, in memory: no member's name ever becomes a path on this machine.

A checksum protects the official archives. These rules protect the rest: names outside the archive, links and devices
are rejected, although nothing would be written, because such an archive is not what it claims to be; and the unpacked
size is limited, so that a small file cannot fill the memory.
"""

from __future__ import annotations

import gzip
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from tune_app.errors import InputError

MAX_MEMBER = 2**28
"""Bytes of one member; the largest in an official archive, CIFAR-100's training part, has 155,261,504."""
MAX_TOTAL = 2**31
"""Bytes of all members; the largest official archive, aclImdb's, unpacks to about half a gigabyte."""
MAX_MEMBERS = 250_000
"""aclImdb has about 100,000."""

Wanted = Callable[[str], bool]


def read_tar(path: Path, wanted: Wanted) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file in a ``.tar.gz`` that `wanted` accepts, in the archive's order.

    Raises:
        InputError: the archive is damaged, or breaks one of the rules above; says which member.
    """
    try:
        # As a stream, so that every byte is decompressed and counted once.
        with _Bounded(path) as file, tarfile.open(fileobj=file, mode="r|") as archive:
            for number, member in enumerate(archive):
                _check(path, number, member.name, member.size)
                if not (member.isreg() or member.isdir()) or member.issparse():
                    raise _fault(path, f"must only contain files and folders, but `{member.name}` is something else")
                if member.isreg() and wanted(member.name):
                    content = archive.extractfile(member)
                    assert content is not None
                    yield member.name, content.read()
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise _damaged(path, "tar.gz", error) from None


def read_zip(path: Path, wanted: Wanted) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file in a zip that `wanted` accepts, in the archive's order.

    Raises:
        InputError: the archive is damaged, or breaks one of the rules above; says which member.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > MAX_TOTAL:
                raise _too_large(path)
            for number, member in enumerate(members):
                _check(path, number, member.filename, member.file_size)
                kind = stat.S_IFMT(member.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise _fault(
                        path, f"must only contain files and folders, but `{member.filename}` is something else"
                    )
                if not member.is_dir() and wanted(member.filename):
                    yield member.filename, archive.read(member)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        # RuntimeError: a password is needed; NotImplementedError: an unknown compression.
        raise _damaged(path, "zip", error) from None


class _Bounded(gzip.GzipFile):
    """A gzip file that raises an error if it unpacks to more than `MAX_TOTAL` bytes."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._path = path
        self._left = MAX_TOTAL

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(min(size or 0, self._left + 1))
        self._left -= len(content)
        if self._left < 0:
            raise _too_large(self._path)
        return content


def _check(path: Path, number: int, name: str, size: int) -> None:
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name) or ".." in re.split(r"[/\\]", name):
        raise _fault(path, f"must only have members inside its own folder, but one is named `{name}`")
    if size > MAX_MEMBER:
        raise _fault(path, f"must have members of at most {MAX_MEMBER:,} bytes, but `{name}` has {size:,}")
    if number >= MAX_MEMBERS:
        raise _fault(path, f"must hold at most {MAX_MEMBERS:,} members, but holds more")


def _too_large(path: Path) -> InputError:
    return _fault(path, f"must unpack to at most {MAX_TOTAL:,} bytes, but unpacks to more")


def _fault(path: Path, text: str) -> InputError:
    return InputError(f"the archive {text}", where=str(path), hint="use the official file")


def _damaged(path: Path, form: str, error: Exception) -> InputError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
    return InputError(f"the archive must be a complete {form} file, but {reason}", where=str(path))
