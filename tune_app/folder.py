"""A folder for results: on this machine, or on ``s3://`` or ``gs://`` through pyarrow.

Both kinds guarantee that a written file is complete or absent for every reader, that appended data stays readable if
the writer dies, and that exactly one of several processes that `create` or `replace` a file wins.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
import urllib.parse
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pyarrow import fs

from tune_app.conditional_puts import ConditionalPuts, open_puts
from tune_app.credentials import without_password
from tune_app.errors import InputError, TuneAppError, WorkFailed

PARTS = ".parts"
"""Suffix of an appended file in an object store."""
MERGED = ".merged"
"""Suffix of a part that replaces all parts up to its number."""
READERS = 16
"""How many parts of an appended file to read in parallel."""
LOCK_WAIT_S = 20.0
ASIDE = ".aside"
"""Where local files are written before they are moved into place."""


class Folder(ABC):
    """Files by relative name, ``a/b.txt``. Errors of the file system become `WorkFailed` with the full path.

    Attributes:
        url: its path or address for users, without any password.
        address: what opens it again; never shown or stored.
    """

    url: str
    address: str

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Write `content` to `name` atomically: a reader sees either the old or the new file."""

    @abstractmethod
    def append(self, name: str, content: bytes) -> None:
        """Append `content` to `name`."""

    def sync(self, name: str) -> None:  # noqa: B027  # what an object store took is kept
        """Make the data appended to `name` survive a machine crash."""

    def merge(self, name: str) -> None:  # noqa: B027  # what is appended to a file of this machine is one file
        """Merge the parts appended to `name`."""

    @abstractmethod
    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes | None:
        """The file from byte `start`, appended parts included, at most `size` bytes of it; None if there is none."""

    @abstractmethod
    def size(self, name: str) -> int | None:
        """How many bytes `read` would give; None if there is no such file."""

    @abstractmethod
    def read_version(self, name: str) -> tuple[bytes | None, object]:
        """A file that is never appended to, and its version for `replace`; None and None if there is none."""

    @abstractmethod
    def replace(self, name: str, content: bytes, version: object) -> object:
        """Write `content` to `name` only if it still has `version`, or does not exist for None.

        Returns:
            The new version; None if another process came first.
        """

    def create(self, name: str, content: bytes) -> bool:
        """Write `content` to `name` only if it does not exist; returns whether it was written."""
        return self.replace(name, content, None) is not None

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether the file exists."""

    @abstractmethod
    def stamp(self, name: str) -> object:
        """A value that changes whenever the file is written with `write`; None if it does not exist.

        On this machine it costs a `stat`, on an object store as much as reading.
        """

    @abstractmethod
    def names(self, prefix: str) -> list[str]:
        """Names of the files and folders directly under `prefix`, sorted; without hidden ones (``.name``)."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file or a folder with its content, if it exists."""

    def remove_leftovers(self, prefix: str) -> None:  # noqa: B027  # if nothing is written aside, nothing is left
        """Remove temporary files of a killed writer directly under `prefix`; nobody else may be writing there."""

    def path(self, name: str) -> str:
        """The address of `name`, for users and for readers such as pandas that have credentials for the object
        store."""
        return f"{self.url.rstrip('/')}/{name}"


def open_folder(url: str | Path) -> Folder:
    """Open the folder at a path or an address, without creating it.

    Raises:
        InputError: no file system supports the address, or there is a file.
    """
    text = str(url)
    if "\0" in text:
        raise InputError(f"the store must be a folder, `s3://…` or `gs://…`, but got {text!r}")
    if "://" not in text:
        path = os.path.expanduser(text)  # unlike Path.expanduser, no error for an unknown ~user
        if os.path.exists(path) and not os.path.isdir(path):
            raise InputError(f"the store must be a folder, `s3://…` or `gs://…`, but `{text}` is a file")
        return LocalFolder(Path(path))
    try:
        filesystem, root = fs.FileSystem.from_uri(text)
    except (ValueError, OSError) as error:
        raise InputError(
            f"the store must be a folder, `s3://…` or `gs://…`, but got `{text}`", hint=" ".join(str(error).split())
        ) from error
    if isinstance(filesystem, fs.LocalFileSystem):
        return LocalFolder(Path(root))
    if not root.strip("/"):
        raise InputError(f"the store must be a folder, `s3://…` or `gs://…`, but `{text}` names no bucket")
    return RemoteFolder(text, filesystem, root)


class LocalFolder(Folder):
    """A folder on this machine, or a mounted one that several nodes share."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.url = self.address = str(self.root)

    def write(self, name: str, content: bytes) -> None:
        """See `Folder.write`; the content is on disk before the name points to it."""
        target = self.root / name
        aside = self._aside(name)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            aside.parent.mkdir(exist_ok=True)
            with aside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, target)
        except OSError as error:
            with contextlib.suppress(OSError):
                aside.unlink()
            raise cannot_write(target, error) from error

    def _aside(self, name: str) -> Path:
        """The temporary path for `name`.

        Not next to it: polars and DuckDB read every file in a data folder, even hidden ones. But that is the only place
        if the folder is on another disk, through a link or a mount, or if others own the rest.
        """
        mine = f"{os.getpid()}.{threading.get_ident()}.tmp"
        parent, _, last = name.rpartition("/")
        folder, aside = self.root / parent, self.root / ASIDE
        elsewhere = os.path.exists(folder) and os.stat(folder).st_dev != os.stat(self.root).st_dev
        if not parent or elsewhere or not os.access(aside if os.path.exists(aside) else self.root, os.W_OK):
            return folder / f".{last}.{mine}"
        return aside / f"{_flat(parent)}.{last}.{mine}"

    def sync(self, name: str) -> None:
        """See `Folder.sync`."""
        target = self.root / name
        try:
            with target.open("rb") as file:
                os.fsync(file.fileno())
        except FileNotFoundError:
            return
        except OSError as error:
            raise cannot_write(target, error) from error

    def append(self, name: str, content: bytes) -> None:
        """See `Folder.append`; the data survives the death of this process, and after `sync` a machine crash.

        If it fails, on a full disk, the file keeps its length.
        """
        target = self.root / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("ab", buffering=0) as file:
                before = file.tell()
                left = memoryview(content)
                try:
                    while left:
                        left = left[file.write(left) :]
                except OSError:
                    file.truncate(before)
                    raise
        except OSError as error:
            raise cannot_write(target, error) from error

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes | None:
        """See `Folder.read`."""
        target = self.root / name
        try:
            with target.open("rb") as file:
                file.seek(start)
                return file.read(size)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise cannot_read(target, error) from error

    def size(self, name: str) -> int | None:
        """See `Folder.size`."""
        target = self.root / name
        try:
            return target.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise cannot_read(target, error) from error

    def read_version(self, name: str) -> tuple[bytes | None, object]:
        """See `Folder.read_version`; the content itself is the version."""
        content = self.read(name)
        return content, content

    def replace(self, name: str, content: bytes, version: object) -> object:
        """See `Folder.replace`.

        Raises:
            WorkFailed: other processes have held the lock, one for each top folder, for `LOCK_WAIT_S`.
        """
        with self._locked(name.rpartition("/")[0].partition("/")[0]):
            if self.read(name) != version:
                return None
            self.write(name, content)
            return content

    def exists(self, name: str) -> bool:
        """See `Folder.exists`."""
        return os.path.isfile(self.root / name)

    def stamp(self, name: str) -> object:
        """See `Folder.stamp`."""
        target = f"{self.url}/{name}"
        try:
            found = os.stat(target)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise cannot_read(target, error) from error
        return found.st_mtime_ns, found.st_size, found.st_ino

    def names(self, prefix: str) -> list[str]:
        """See `Folder.names`."""
        return [name for name in self._all_names(prefix) if not name.startswith(".")]

    def remove(self, name: str) -> None:
        """See `Folder.remove`."""
        target = self.root / name
        try:
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink()
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise cannot_write(target, error) from error

    def remove_leftovers(self, prefix: str) -> None:
        """See `Folder.remove_leftovers`."""
        for name in self._all_names(prefix):
            if name.startswith(".") and name.endswith(".tmp"):
                self.remove(f"{prefix}/{name}")
        for name in self._all_names(ASIDE):
            if name.startswith(f"{_flat(prefix)}."):
                self.remove(f"{ASIDE}/{name}")

    @contextlib.contextmanager
    def _locked(self, top: str) -> Iterator[None]:
        path = self.root / top / ".lock"
        lock = FileLock(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=LOCK_WAIT_S)
        except Timeout:
            raise WorkFailed(
                f"{path.parent} has been locked for {LOCK_WAIT_S:g} s", where=str(path), hint="try again"
            ) from None
        except OSError as error:
            raise cannot_write(path, error) from error
        try:
            yield
        finally:
            lock.release()

    def _all_names(self, prefix: str) -> list[str]:
        try:
            return sorted(os.listdir(self.root / prefix))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise cannot_read(self.root / prefix, error) from error


class RemoteFolder(Folder):
    """A folder on an object store, where a file appears complete at the end of a write, and appending is impossible.

    So an appended file is a sequence of numbered parts, ``name.parts/000001``, …, after the file ``name`` if there is
    one; when merged, ``name.parts/000123.merged`` replaces all parts up to that number. Rewriting such a file removes
    its parts first: only then may a reader see an intermediate state.

    S3 and GCS keep the promise of `replace`. The others that pyarrow knows, such as HDFS, have no such puts: two
    processes that replace a file there at the same moment may both believe that they did.
    """

    def __init__(self, url: str, filesystem: fs.FileSystem, root: str) -> None:
        self.url, self.address = without_password(url), url
        self._fs = filesystem
        self._root = root.rstrip("/")
        self._parts: dict[str, int] = {}
        self._made: set[str] = set()

    def write(self, name: str, content: bytes) -> None:
        """See `Folder.write`."""
        if self._last_part(name):
            self._remove(f"{name}{PARTS}")
        self._parts[name] = 0
        self._write(name, content)

    def append(self, name: str, content: bytes) -> None:
        """See `Folder.append`."""
        number = self._last_part(name) + 1
        self._write(f"{name}{PARTS}/{number:06d}", content)
        self._parts[name] = number

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes | None:
        """See `Folder.read`; does not read parts outside the requested range."""
        if start == 0 and size is None:
            return self._read_whole(name)
        while True:
            sizes = self._sizes(name)
            if not sizes:
                return None
            wanted: list[tuple[str, int, int]] = []
            position = 0
            for piece, length in sizes.items():
                first = max(0, start - position)
                last = length if size is None else min(length, start + size - position)
                if first < last:
                    wanted.append((piece, first, last - first))
                position += length
            with ThreadPoolExecutor(READERS) as threads:
                pieces = list(threads.map(lambda place: self._read_range(*place), wanted))
            if None not in pieces:  # otherwise parts were merged in the meantime
                return b"".join(piece or b"" for piece in pieces)

    def _read_whole(self, name: str) -> bytes | None:
        while True:
            parts = list(self._current_parts(name))
            with ThreadPoolExecutor(READERS) as threads:  # there may be thousands, and each takes time
                first, *found = threads.map(self._read, [name, *parts])
            pieces = [piece for piece in found if piece is not None]
            if len(pieces) == len(parts):  # otherwise they were merged in the meantime
                break
        if first is None and not pieces:
            return None
        return b"".join([first or b"", *pieces])

    def size(self, name: str) -> int | None:
        """See `Folder.size`."""
        sizes = self._sizes(name)
        return sum(sizes.values()) if sizes else None

    def _sizes(self, name: str) -> dict[str, int]:
        """The file itself, if there is one, and its parts in order, each with its size."""
        with _reading(self.path(name)):
            itself = self._fs.get_file_info(f"{self._root}/{name}")
        begin = {name: itself.size} if itself.type == fs.FileType.File else {}
        return {**begin, **self._current_parts(name)}

    def merge(self, name: str) -> None:
        """See `Folder.merge`; the merged part exists before the old ones are removed."""
        parts = list(self._current_parts(name))
        if len(parts) < 2:
            return
        with ThreadPoolExecutor(READERS) as threads:
            pieces = threads.map(self._read, parts)
            self._write(f"{name}{PARTS}/{_number(parts[-1]):06d}{MERGED}", b"".join(piece or b"" for piece in pieces))
            list(threads.map(self._remove, parts))

    def _current_parts(self, name: str) -> dict[str, int]:
        """The parts in order with their sizes, without those replaced by a merged one."""
        parts = {f"{name}{PARTS}/{info.base_name}": info.size for info in self._all_infos(f"{name}{PARTS}")}
        merged = [position for position, part in enumerate(parts) if part.endswith(MERGED)]
        return dict(list(parts.items())[merged[-1] :]) if merged else parts

    def read_version(self, name: str) -> tuple[bytes | None, object]:
        """See `Folder.read_version`."""
        if self._puts is None:
            content = self._read(name)
            return content, content
        with _reading(self.path(name)):
            return self._puts.read(name)

    def replace(self, name: str, content: bytes, version: Any) -> object:
        """See `Folder.replace`."""
        if self._puts is None:
            if self._read(name) != version:
                return None
            self._write(name, content)
            return content
        try:
            return self._puts.put(name, content, version)
        except OSError as error:
            raise cannot_write(self.path(name), error) from error

    @cached_property
    def _puts(self) -> ConditionalPuts | None:
        return open_puts(self.address, self._fs, self._root)

    def exists(self, name: str) -> bool:
        """See `Folder.exists`."""
        with _reading(self.path(name)):
            file, parts = self._fs.get_file_info([f"{self._root}/{name}", f"{self._root}/{name}{PARTS}"])
        return bool(file.type == fs.FileType.File or parts.type == fs.FileType.Directory)

    def stamp(self, name: str) -> object:
        """See `Folder.stamp`."""
        return self._read(name)  # an object store's times are in whole seconds, and a file may change twice within one

    def names(self, prefix: str) -> list[str]:
        """See `Folder.names`."""
        return sorted({name.removesuffix(PARTS) for name in self._all_names(prefix) if not name.startswith(".")})

    def remove(self, name: str) -> None:
        """See `Folder.remove`."""
        self._remove(name)
        self._remove(f"{name}{PARTS}")
        self._parts.pop(name, None)

    def _last_part(self, name: str) -> int:
        if name not in self._parts:
            self._parts[name] = max(map(_number, self._all_names(f"{name}{PARTS}")), default=0)
        return self._parts[name]

    def _write(self, name: str, content: bytes) -> None:
        target = f"{self._root}/{name}"
        try:
            if (folder := target.rsplit("/", 1)[0]) not in self._made:  # a request, even if there are no folders
                self._fs.create_dir(folder, recursive=True)
                self._made.add(folder)
            with self._fs.open_output_stream(target) as stream:
                stream.write(content)
        except OSError as error:
            raise cannot_write(self.path(name), error) from error

    def _read(self, name: str) -> bytes | None:
        return self._read_object(name, lambda file: file.read())

    def _read_range(self, name: str, start: int, size: int) -> bytes | None:
        return self._read_object(name, lambda file: file.read_at(size, start))

    def _read_object(self, name: str, read: Callable[[Any], Any]) -> bytes | None:
        """What `read` takes from the object as it is at one moment.

        pyarrow asks for the size first. If the object is replaced by a shorter one before it is read, what pyarrow
        returns ends with memory that nobody wrote; by a longer one, its end is missing. So the object must be the same
        after reading, which its facts with the ETag say.
        """
        target = f"{self._root}/{name}"
        with _reading(self.path(name)):
            try:
                while True:
                    with self._fs.open_input_file(target) as file:
                        facts, content = file.metadata(), bytes(read(file))
                    if f"{PARTS}/" in name:  # written once
                        return content
                    with self._fs.open_input_file(target) as file:
                        if file.metadata() == facts:
                            return content
            except FileNotFoundError:
                return None

    def _all_names(self, prefix: str) -> list[str]:
        return [info.base_name for info in self._all_infos(prefix)]

    def _all_infos(self, prefix: str) -> list[fs.FileInfo]:
        """The entries directly under `prefix`, sorted by name."""
        with _reading(self.path(prefix)):
            found = self._fs.get_file_info(fs.FileSelector(f"{self._root}/{prefix}", allow_not_found=True))
        return sorted(found, key=lambda info: info.base_name)

    def _remove(self, name: str) -> None:
        target = f"{self._root}/{name}"
        self._made.clear()
        try:
            kind = self._fs.get_file_info(target).type
            if kind == fs.FileType.Directory:
                self._fs.delete_dir(target)
            elif kind == fs.FileType.File:
                self._fs.delete_file(target)
        except OSError as error:
            raise cannot_write(self.path(name), error) from error


def _flat(prefix: str) -> str:
    """A folder's path as part of a file name, unique per folder."""
    return urllib.parse.quote(prefix, safe="").replace(".", "%2E")


def _number(part: str) -> int:
    return int(part.rpartition("/")[2].removesuffix(MERGED))


@contextlib.contextmanager
def _reading(path: object) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise cannot_read(path, error) from error


def cannot_read(path: object, error: OSError) -> TuneAppError:
    """The error for a folder in place of a file, missing permissions or an unresponsive address: the input was valid,
    and the work failed. Only an impossible file name is an input error."""
    kind = InputError if error.errno == errno.ENAMETOOLONG else WorkFailed
    return kind(f"cannot read {path}: {_reason(error)}", hint="check the path and its permissions")


def cannot_write(path: object, error: OSError, option: str = "--store") -> WorkFailed:
    """The error for a full disk, missing permissions or an impossible path; `option` chooses another place."""
    elsewhere = f"choose another place with {option}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = f"free some space or {elsewhere}"
    elif error.errno in (errno.EACCES, errno.EPERM):
        hint = f"check the write permissions there, or {elsewhere}"
    elif error.errno == errno.EROFS:
        hint = f"the file system there is read-only: {elsewhere}"
    else:
        hint = f"check the path, or {elsewhere}"
    return WorkFailed(f"cannot write {path}: {_reason(error)}", hint=hint)


def _reason(error: OSError) -> str:
    return error.strerror or " ".join(str(error).split())
