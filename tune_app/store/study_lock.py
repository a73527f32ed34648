"""The lock of a study: only one process writes it, on disk or on an object store.

In a folder, it is a lock of the operating system, which ends with its process. On an object store, it is an object with
its holder and the time of its last heartbeat, created by a put that fails if another one exists. The machines' clocks
must agree to within a few seconds.
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
"""How often the holder of a remote lock sends a heartbeat."""
STALE_S = 30.0
"""After this long without a heartbeat, a remote lock may be taken over."""


class StudyLock(ABC):
    """The right to write the study `study` at `where`."""

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
            OSError: this user may not check.
        """

    def check(self) -> None:  # noqa: B027  # what the operating system gave it does not remove
        """Raise WorkFailed if the lock was lost to another process."""

    def release(self) -> None:  # noqa: B027  # what the operating system gave ends with the process
        """Release the lock if the process ends without leaving the ``with`` block; may be called from any thread."""

    def _conflict(self, hint: str) -> Conflict:
        return Conflict(f"the study `{self.study}` is being written by another process", where=self.where, hint=hint)


class LocalLock(StudyLock):
    """An operating-system lock on a file on this machine or in a mounted folder."""

    def __init__(self, study: str, where: str, path: Path) -> None:
        super().__init__(study, where)
        self._path = path

    @contextmanager
    def held(self) -> Iterator[None]:
        """See `StudyLock.held`."""
        lock = FileLock(self._path)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Not 0: `is_held` of another process may hold it briefly.
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

    A process that sees no heartbeat for `STALE_S` takes it over; the previous holder, if still alive, notices at its
    next renewal, and `check` raises.
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
                f"another process, {self._usurper}, took over the study `{self.study}`: this one sent no heartbeat "
                f"for {STALE_S:g} s",
                where=self.where,
                hint="what this process wrote earlier is kept; continue with `tune-app resume` when the other has "
                "ended",
            )

    def release(self) -> None:
        """See `StudyLock.release`; if the store does not respond, the lock becomes stale."""
        self._ending.set()
        with suppress(TuneAppError), self._mutex:
            # Renew it once more, so that nobody takes it over just before it is removed.
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
        raise self._conflict(f"wait for {holder}, or stop it; if it died, its lock expires {STALE_S:g} s after")

    def _renew(self) -> bool:
        """Write a heartbeat; False if the lock belongs to another process, whose name is noted."""
        facts = {"holder": self._holder, "token": self._token, "at": datetime.now(UTC).isoformat()}
        version = self._folder.replace(self._name, json.dumps(facts).encode(), self._version)
        if version is None:
            content, version = self._folder.read_version(self._name)
            found = _facts(content)
            # Its own token: an earlier put succeeded, and only the response was lost.
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
                continue  # the store may respond later; a takeover in the meantime shows then


def _facts(content: bytes | None) -> dict[str, Any]:
    try:
        return dict(json.loads(content or b"{}"))
    except (ValueError, TypeError):
        return {}


def _is_stale(facts: dict[str, Any]) -> bool:
    try:
        return (datetime.now(UTC) - datetime.fromisoformat(facts["at"])).total_seconds() > STALE_S
    except (LookupError, TypeError, ValueError):  # damaged, so nobody renews it
        return True
