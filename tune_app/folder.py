"""A folder that results live in: on this machine, or behind ``s3://`` or ``gs://`` through pyarrow.

Three promises hold for both kinds: a file that is written is whole or absent for every reader, what was appended
stays readable when the writer dies, and of several processes that `create` or `replace` a file one wins.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
import urllib.parse
from abc import ABC, abstractmethod
from collections.abc import Iterator
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
"""What is behind the name of an appended file in an object store."""
MERGED = ".merged"
"""What is behind the number of a part that replaces all up to its number."""
READERS = 16
"""So many parts of an appended file are read at once."""
LOCK_WAIT_S = 20.0
ASIDE = ".aside"
"""Where files of this machine are written before they are put in place."""


class Folder(ABC):
    """Files by relative name, ``a/b.txt``. Errors of the file system become `WorkFailed` with the full path.

    Attributes:
        url: its path or address, for people: without the password that the address may hold.
        address: what opens it again; never shown or stored.
    """

    url: str
    address: str

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Put `content` at `name` at once: a reader sees the former file or this one."""

    @abstractmethod
    def append(self, name: str, content: bytes) -> None:
        """Add `content` behind what stands at `name`."""

    def sync(self, name: str) -> None:  # noqa: B027  # what an object store took is kept
        """Make what was appended to `name` survive the death of the machine."""

    def merge(self, name: str) -> None:  # noqa: B027  # what is appended to a file of this machine is one file
        """Keep what was appended to `name` in one piece."""

    @abstractmethod
    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes | None:
        """The file from byte `start`, appended parts included, at most `size` bytes of it; None where there is none."""

    @abstractmethod
    def size(self, name: str) -> int | None:
        """How many bytes `read` would give; None where there is no such file."""

    @abstractmethod
    def read_version(self, name: str) -> tuple[bytes | None, object]:
        """A file that is never appended to, and its version for `replace`; None and None where there is none."""

    @abstractmethod
    def replace(self, name: str, content: bytes, version: object) -> object:
        """Put `content` at `name` only if what stands there is still of `version`; for None, only if nothing does.

        Returns:
            The version it has now; None where another process came first.
        """

    def create(self, name: str, content: bytes) -> bool:
        """Put `content` at `name` only if nothing stands there; whether it did."""
        return self.replace(name, content, None) is not None

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""

    @abstractmethod
    def stamp(self, name: str) -> object:
        """Something that differs after the file was written with `write`; None where there is none.

        On this machine it costs a look at the file's entry, behind an object store as much as reading.
        """

    @abstractmethod
    def names(self, prefix: str) -> list[str]:
        """Names of the files and folders directly under `prefix`, sorted; hidden ones (``.name``) are left out."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file or a folder with all it holds; nothing happens where there is none."""

    def remove_leftovers(self, prefix: str) -> None:  # noqa: B027  # where nothing is written aside, nothing is left
        """Remove what a killed writer left aside directly under `prefix`; nobody else may be writing there."""

    def path(self, name: str) -> str:
        """The address of `name`, for people, and for readers such as pandas that have the keys of an object store."""
        return f"{self.url.rstrip('/')}/{name}"


def open_folder(url: str | Path) -> Folder:
    """Open the folder at a path or an address; nothing is created yet.

    Raises:
        InputError: no file system knows the address.
    """
    text = str(url)
    if "\0" in text:
        raise InputError(f"the store must be a folder, `s3://…` or `gs://…`, but got {text!r}")
    if "://" not in text:
        return LocalFolder(Path(os.path.expanduser(text)))  # unlike Path.expanduser, no error for an unknown ~user
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
    """A folder of this machine, or a mounted one that several nodes share."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.url = self.address = str(self.root)

    def write(self, name: str, content: bytes) -> None:
        """See `Folder.write`; the content is on the disk before the name points to it."""
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
        """Where `name` is written first.

        Not beside it: polars and DuckDB read whatever a folder of data holds, also what begins with a dot. That is the
        only place, though, for a folder on another disk, by a link or a mount, and where others own the rest.
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
        """See `Folder.append`; what is appended survives the death of this process, and after `sync` of the machine.

        Where it fails, on a full disk, the file is as long as before.
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
    """A folder behind an object store, where a file appears whole when its writing ends and nothing can be appended.

    An appended file is therefore a row of numbered parts, ``name.parts/000001``, …, behind the file ``name`` if there
    is one; merged, ``name.parts/000123.merged`` stands for all up to that number. Writing such a file as a whole
    removes its parts first: only there a reader may see something between.

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
        """See `Folder.read`; parts that lie before or behind what is wanted are not read."""
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
            if None not in pieces:  # else parts were merged in the meantime
                return b"".join(piece or b"" for piece in pieces)

    def _read_whole(self, name: str) -> bytes | None:
        while True:
            parts = list(self._current_parts(name))
            with ThreadPoolExecutor(READERS) as threads:  # there may be thousands, and each takes its time
                first, *found = threads.map(self._read, [name, *parts])
            pieces = [piece for piece in found if piece is not None]
            if len(pieces) == len(parts):  # else they were merged in the meantime
                break
        if first is None and not pieces:
            return None
        return b"".join([first or b"", *pieces])

    def size(self, name: str) -> int | None:
        """See `Folder.size`."""
        sizes = self._sizes(name)
        return sum(sizes.values()) if sizes else None

    def _sizes(self, name: str) -> dict[str, int]:
        """The file itself, if there is one, and its parts in their order, each with its bytes."""
        with _reading(self.path(name)):
            itself = self._fs.get_file_info(f"{self._root}/{name}")
        begin = {name: itself.size} if itself.type == fs.FileType.File else {}
        return {**begin, **self._current_parts(name)}

    def merge(self, name: str) -> None:
        """See `Folder.merge`; the new piece is there before the former ones go."""
        parts = list(self._current_parts(name))
        if len(parts) < 2:
            return
        with ThreadPoolExecutor(READERS) as threads:
            pieces = threads.map(self._read, parts)
            self._write(f"{name}{PARTS}/{_number(parts[-1]):06d}{MERGED}", b"".join(piece or b"" for piece in pieces))
            list(threads.map(self._remove, parts))

    def _current_parts(self, name: str) -> dict[str, int]:
        """The parts in their order with their bytes, without those that a merged one replaces."""
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
        return self._read(name)  # an object store's times are of whole seconds, in which a file may change twice

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
            if (folder := target.rsplit("/", 1)[0]) not in self._made:  # a request, where there are no folders too
                self._fs.create_dir(folder, recursive=True)
                self._made.add(folder)
            with self._fs.open_output_stream(target) as stream:
                stream.write(content)
        except OSError as error:
            raise cannot_write(self.path(name), error) from error

    def _read(self, name: str) -> bytes | None:
        with _reading(self.path(name)):
            try:
                with self._fs.open_input_stream(f"{self._root}/{name}") as stream:
                    return bytes(stream.read())
            except FileNotFoundError:
                return None

    def _read_range(self, name: str, start: int, size: int) -> bytes | None:
        with _reading(self.path(name)):
            try:
                with self._fs.open_input_file(f"{self._root}/{name}") as file:
                    return bytes(file.read_at(size, start))
            except FileNotFoundError:
                return None

    def _all_names(self, prefix: str) -> list[str]:
        return [info.base_name for info in self._all_infos(prefix)]

    def _all_infos(self, prefix: str) -> list[fs.FileInfo]:
        """What lies directly under `prefix`, sorted by name."""
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
    """A folder's name as a part of a file's; two folders never have one."""
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
    """The error for a folder in the place of a file, missing rights or an address that does not answer: the input was
    right, and the work failed. Only a name that no file can have is the input's fault."""
    kind = InputError if error.errno == errno.ENAMETOOLONG else WorkFailed
    return kind(f"cannot read {path}: {_reason(error)}", hint="check the path and its rights")


def cannot_write(path: object, error: OSError, option: str = "--store") -> WorkFailed:
    """The error for a full disk, missing rights or a path that cannot be; `option` names another place."""
    elsewhere = f"choose another place with {option}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = f"free some space or {elsewhere}"
    elif error.errno in (errno.EACCES, errno.EPERM):
        hint = f"check who may write there, or {elsewhere}"
    elif error.errno == errno.EROFS:
        hint = f"what is mounted there can only be read: {elsewhere}"
    else:
        hint = f"check the path, or {elsewhere}"
    return WorkFailed(f"cannot write {path}: {_reason(error)}", hint=hint)


def _reason(error: OSError) -> str:
    return error.strerror or " ".join(str(error).split())
