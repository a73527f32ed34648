"""A folder that results live in: on this machine, or behind ``s3://`` or ``gs://`` through pyarrow.

Two promises hold for both kinds: a file that is written is whole or absent for every reader, and what was appended
stays readable when the writer dies.
"""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from pathlib import Path

from pyarrow import fs

from tune_app.errors import InputError, WorkFailed


class Folder(ABC):
    """Files by relative name, ``a/b.txt``. Errors of the file system become `WorkFailed` with the full path."""

    url: str

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Put `content` at `name` at once: a reader sees the former file or this one."""

    @abstractmethod
    def append(self, name: str, content: bytes) -> None:
        """Add `content` behind what stands at `name`."""

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """All of the file, appended parts included; None where there is none."""

    @abstractmethod
    def names(self, prefix: str) -> list[str]:
        """Names of the files and folders directly under `prefix`, sorted."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file or a folder with all it holds; nothing happens where there is none."""

    def path(self, name: str) -> str:
        """The address of `name`, for people and for readers such as pandas."""
        return f"{self.url.rstrip('/')}/{name}"


def open_folder(url: str | Path) -> Folder:
    """Open the folder at a path or an address; nothing is created yet.

    Raises:
        InputError: no file system knows the address.
    """
    text = str(url)
    if "://" not in text:
        return LocalFolder(Path(text).expanduser())
    try:
        filesystem, root = fs.FileSystem.from_uri(text)
    except (ValueError, OSError) as error:
        raise InputError(
            f"the store must be a folder, `s3://…` or `gs://…`, but got `{text}`", hint=str(error).splitlines()[0]
        ) from error
    if isinstance(filesystem, fs.LocalFileSystem):
        return LocalFolder(Path(root))
    return RemoteFolder(text, filesystem, root)


class LocalFolder(Folder):
    """A folder of this machine, or a mounted one that several nodes share."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.url = str(self.root)

    def write(self, name: str, content: bytes) -> None:
        """See `Folder.write`; the content is on the disk before the name points to it."""
        target = self.root / name
        # A leading dot: readers of data sets (pandas, pyarrow, Spark) pass over such files.
        aside = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}.tmp")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with aside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, target)
        except OSError as error:
            aside.unlink(missing_ok=True) if aside.parent.is_dir() else None
            raise cannot_write(target, error) from error

    def append(self, name: str, content: bytes) -> None:
        """See `Folder.append`; what is appended survives the death of this process, though not of the machine."""
        target = self.root / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("ab") as file:
                file.write(content)
        except OSError as error:
            raise cannot_write(target, error) from error

    def read(self, name: str) -> bytes | None:
        """See `Folder.read`."""
        target = self.root / name
        try:
            return target.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise InputError(f"cannot read {target}: {error.strerror}", hint="check the path and its rights") from error

    def names(self, prefix: str) -> list[str]:
        """See `Folder.names`."""
        folder = self.root / prefix
        if not folder.is_dir():
            return []
        return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))

    def remove(self, name: str) -> None:
        """See `Folder.remove`."""
        import shutil

        target = self.root / name
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)


class RemoteFolder(Folder):
    """A folder behind an object store, where a file appears whole when its writing ends and nothing can be appended.

    An appended file is therefore a row of numbered parts, ``name.parts/000001``, …
    """

    def __init__(self, url: str, filesystem: fs.FileSystem, root: str) -> None:
        self.url = url
        self._fs = filesystem
        self._root = root.rstrip("/")
        self._parts: dict[str, int] = {}

    def write(self, name: str, content: bytes) -> None:
        """See `Folder.write`."""
        target = f"{self._root}/{name}"
        try:
            self._fs.create_dir(target.rsplit("/", 1)[0], recursive=True)
            with self._fs.open_output_stream(target) as stream:
                stream.write(content)
        except OSError as error:
            raise cannot_write(self.path(name), error) from error

    def append(self, name: str, content: bytes) -> None:
        """See `Folder.append`."""
        if name not in self._parts:
            self._parts[name] = len(self.names(f"{name}.parts"))
        self._parts[name] += 1
        self.write(f"{name}.parts/{self._parts[name]:06d}", content)

    def read(self, name: str) -> bytes | None:
        """See `Folder.read`."""
        parts = self.names(f"{name}.parts")
        if parts:
            return b"".join(self.read(f"{name}.parts/{part}") or b"" for part in parts)
        try:
            with self._fs.open_input_stream(f"{self._root}/{name}") as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InputError(f"cannot read {self.path(name)}: {error}", hint="check the address and its rights") from error

    def names(self, prefix: str) -> list[str]:
        """See `Folder.names`."""
        selector = fs.FileSelector(f"{self._root}/{prefix}", allow_not_found=True)
        return sorted(info.base_name for info in self._fs.get_file_info(selector))

    def remove(self, name: str) -> None:
        """See `Folder.remove`."""
        target = f"{self._root}/{name}"
        kind = self._fs.get_file_info(target).type
        if kind == fs.FileType.Directory:
            self._fs.delete_dir(target)
        elif kind == fs.FileType.File:
            self._fs.delete_file(target)


def cannot_write(path: object, error: OSError) -> WorkFailed:
    """The error for a full disk, missing rights or a path that cannot be."""
    return WorkFailed(
        f"cannot write {path}: {error.strerror or error}", hint="free some space or choose another place with --store"
    )
