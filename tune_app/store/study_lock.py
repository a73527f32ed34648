"""The lock of a study: one process writes it, here and behind an object store.

On a folder it is a lock of the operating system, which ends with its process. An object store has only objects: there
the lock is one with its holder and the time of its last sign of life, made by a put that fails where another stands.
The clocks of the machines must agree to a few seconds.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tune_app.errors import Conflict, TuneAppError, WorkFailed
from tune_app.folder import Folder, cannot_write

WAIT_S = 0.5
BEAT_S = 5.0
"""So often the holder of a remote lock says that it is alive."""
STALE_S = 30.0
"""After so long without a sign of life a remote lock may be taken over."""


class StudyLock(ABC):
    """The right to write one study, which is called `study` and lies at `where`."""

    def __init__(self, study: str, where: str) -> None:
        self.study = study
        self.where = where

    @abstractmethod
    def held(self) -> AbstractContextManager[None]:
        """Hold the lock for a ``with`` block.

        Raises:
            Conflict: another process holds it.
            WorkFailed: the store cannot be written.
        """

    @abstractmethod
    def is_held(self) -> bool:
        """Whether some process holds it now.

        Raises:
            OSError: this user may not look.
        """

    def check(self) -> None:  # noqa: B027  # what the operating system gave it does not take away
        """Raise WorkFailed where the lock was lost to another process."""

    def release(self) -> None:  # noqa: B027  # what the operating system gave ends with the process
        """Give the lock back where the process ends without leaving the ``with`` block; called from any thread."""

    def _conflict(self, hint: str) -> Conflict:
        return Conflict(f"the study `{self.study}` is being written by another process", where=self.where, hint=hint)


class LocalLock(StudyLock):
    """A lock of the operating system on a file of this machine or a mounted folder."""

    def __init__(self, study: str, where: str, path: Path) -> None:
        super().__init__(study, where)
        self._path = path

    @contextmanager
    def held(self) -> Iterator[None]:
        """See `StudyLock.held`."""
        lock = FileLock(self._path)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Not 0: `is_held` of another process may hold it for a moment.
            lock.acquire(timeout=WAIT_S)
        except Timeout:
            raise self._conflict("wait for it, stop it, or choose another name with --name") from None
        except OSError as error:
            raise cannot_write(self._path, error) from error
        try:
            yield
        finally:
            lock.release()

    def is_held(self) -> bool:
        """See `StudyLock.is_held`."""
        if not self._path.exists():
            return False
        try:
            with FileLock(self._path).acquire(timeout=0):
                return False
        except Timeout:
            return True


class RemoteLock(StudyLock):
    """An object that its holder renews every `BEAT_S` seconds, each time only if it is still the holder's.

    Who finds it without a sign of life for `STALE_S` takes it over; the former holder, if it still lives, learns of
    that with its next renewal, and `check` raises.
    """

    def __init__(self, study: str, where: str, folder: Folder, name: str) -> None:
        super().__init__(study, where)
        self._folder = folder
        self._name = name
        self._holder = f"{socket.gethostname()}:{os.getpid()}"
        self._token = secrets.token_hex(8)
        self._version: object = None
        self._usurper: str | None = None
        self._ending = threading.Event()
        self._mutex = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[None]:
        """See `StudyLock.held`."""
        self._acquire()
        self._ending.clear()
        renewing = threading.Thread(target=self._keep, name="study-lock", daemon=True)
        renewing.start()
        try:
            yield
        finally:
            self._ending.set()
            renewing.join()
            self.release()

    def is_held(self) -> bool:
        """See `StudyLock.is_held`."""
        content, _ = self._folder.read_version(self._name)
        return content is not None and not _is_stale(_facts(content))

    def check(self) -> None:
        """See `StudyLock.check`."""
        if self._usurper is not None:
            raise WorkFailed(
                f"another process, {self._usurper}, took over the study `{self.study}`: "
                f"this one gave no sign of life for {STALE_S:g} s",
                where=self.where,
                hint="what this process wrote before is kept; go on with `tune-app resume` when the other has ended",
            )

    def release(self) -> None:
        """See `StudyLock.release`; if the store does not take it, the lock gets stale."""
        self._ending.set()
        with suppress(TuneAppError), self._mutex:
            # Renewed once more: nobody takes it over in the moment before it is removed.
            if self._usurper is None and self._renew():
                self._folder.remove(self._name)

    def _acquire(self) -> None:
        content, former = self._folder.read_version(self._name)
        if content is None or _is_stale(_facts(content)):
            self._usurper, self._version = None, former
            if self._renew():
                return
            content, _ = self._folder.read_version(self._name)
        holder = _facts(content).get("holder", "another process")
        raise self._conflict(f"wait for {holder}, or stop it; if it died, its lock ends {STALE_S:g} s after")

    def _renew(self) -> bool:
        """Put a new sign of life; False, with the other's name noted, where the lock is another's."""
        facts = {"holder": self._holder, "token": self._token, "at": datetime.now(UTC).isoformat()}
        version = self._folder.replace(self._name, json.dumps(facts).encode(), self._version)
        if version is None:
            content, version = self._folder.read_version(self._name)
            found = _facts(content)
            # Its own token: an earlier put was done, and only its answer was lost.
            if found.get("token") != self._token:
                self._usurper = str(found.get("holder", "unknown"))
                return False
        self._version = version
        return True

    def _keep(self) -> None:
        while not self._ending.wait(BEAT_S):
            try:
                with self._mutex:
                    if self._ending.is_set() or not self._renew():
                        return
            except TuneAppError:
                continue  # the store may answer again; whoever takes the lock over meanwhile is noticed then


def _facts(content: bytes | None) -> dict[str, Any]:
    try:
        return dict(json.loads(content or b"{}"))
    except (ValueError, TypeError):
        return {}


def _is_stale(facts: dict[str, Any]) -> bool:
    try:
        return (datetime.now(UTC) - datetime.fromisoformat(facts["at"])).total_seconds() > STALE_S
    except (LookupError, TypeError, ValueError):  # damaged: nobody renews it
        return True
