"""Downloads with pooch: from the official address, then its mirrors, verified against the checksum, complete or not at
all."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlsplit

import pooch
import requests
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from tune_app.credentials import without_password
from tune_app.datasets.cache import data_folder, writing
from tune_app.datasets.entry import Entry, RemoteFile
from tune_app.datasets.registry import DATASETS
from tune_app.errors import InputError, WorkFailed

CONNECT_S = 3.0
"""Seconds in which at least one address must accept a connection, including name resolution."""
SILENCE_S = 30.0
"""Seconds for which a server may send nothing."""
CHUNK = 2**16
PORTS = {"http": 80, "https": 443}
ACCEPTED = "terms-accepted.txt"

State = Literal["ready", "damaged", "missing"]


@dataclass(frozen=True)
class Fetched:
    """A file in the cache folder.

    Attributes:
        path: where it is.
        source: the address it was just downloaded from; None if it was already there.
    """

    path: Path
    source: str | None


def fetch(entry: Entry, *, accept_terms: bool = False) -> list[Fetched]:
    """Download the files of a data set to the cache folder; keeps existing files with the right checksum.

    ``TUNE_APP_DATA_MIRROR`` is an address to try first: ``<mirror>/<data set>/<file>``; its files are also verified.
    Processes that need the same data set wait for each other. A progress bar is shown on a terminal's stderr.

    Raises:
        InputError: the terms are not accepted, or the cache folder or the mirror is invalid.
        WorkFailed: no address returned a file with the right checksum; if none can be reached, within five seconds.
    """
    folder = data_folder() / entry.name
    if entry.terms is not None:
        _settle_terms(entry, folder, accept_terms)
    if all(state(folder, file) == "ready" for file in entry.files):
        return [Fetched(folder / file.name, None) for file in entry.files]
    try:
        with writing(folder):
            return [_fetch_file(entry, file, folder) for file in entry.files]
    except OSError as error:
        raise _not_writable(folder, error) from None


def verify(entry: Entry) -> dict[str, State]:
    """Compare each file of a data set in the cache folder with its checksum; the result by file name."""
    folder = data_folder() / entry.name
    return {file.name: state(folder, file) for file in entry.files}


def state(folder: Path, file: RemoteFile) -> State:
    """Whether the file in `folder` is correct; reads all of it."""
    path = folder / file.name
    if not path.is_file():
        return "missing"
    return "ready" if _is_right(path, file) else "damaged"


def terms_accepted(entry: Entry) -> bool:
    """Whether someone has accepted the terms of a data set for this cache folder, or it has none."""
    return entry.terms is None or data_folder().joinpath(entry.name, ACCEPTED).is_file()


def _settle_terms(entry: Entry, folder: Path, accept: bool) -> None:
    if terms_accepted(entry):
        return
    if not accept:
        raise InputError(
            f"the terms of `{entry.name}` must be accepted before its download: {entry.terms}",
            hint=f"`tune-app data fetch {entry.name} --accept-terms` accepts them",
        )
    try:
        with writing(folder):
            folder.joinpath(ACCEPTED).write_text(f"{entry.terms}\n", encoding="utf-8")
    except OSError as error:
        raise _not_writable(folder, error) from None


def _fetch_file(entry: Entry, file: RemoteFile, folder: Path) -> Fetched:
    path, aside = folder / file.name, folder / f"{file.name}.part"
    found = state(folder, file)
    if found == "ready":
        return Fetched(path, None)
    addresses = _addresses(entry, file)
    connections = _Connections(addresses)
    failures = []
    try:
        for address in addresses:
            failure = connections.failure(address) or _download(address, aside, file)
            if failure is None:
                os.replace(aside, path)
                return Fetched(path, without_password(address))
            failures.append(f"{address} {failure}")
    finally:
        aside.unlink(missing_ok=True)
    what = "is damaged and could not be downloaded again" if found == "damaged" else "could not be downloaded"
    raise WorkFailed(f"`{entry.name}` {what}: {'; '.join(failures)}", where=str(path), hint=_way_out(entry, folder))


def _addresses(entry: Entry, file: RemoteFile) -> tuple[str, ...]:
    mirror = os.environ.get("TUNE_APP_DATA_MIRROR")
    if not mirror:
        return file.addresses
    if urlsplit(mirror).scheme not in PORTS or not urlsplit(mirror).hostname:
        raise InputError(
            f"`TUNE_APP_DATA_MIRROR` must be an http:// or https:// address, but is {mirror}",
            hint="for a folder on this machine, set `TUNE_APP_DATA_DIR`, or in a space {name: …, path: …}",
        )
    return (f"{mirror.rstrip('/')}/{entry.name}/{quote(file.name)}", *file.addresses)


def _download(address: str, aside: Path, file: RemoteFile) -> str | None:
    """Download to `aside`; returns a short error, or None."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    shown = sys.stderr.isatty()
    try:
        with Progress(*columns, console=Console(stderr=True), disable=not shown, transient=True) as progress:
            downloader = pooch.HTTPDownloader(
                progressbar=_Meter(progress, file, aside),
                chunk_size=CHUNK,
                timeout=(CONNECT_S, SILENCE_S),
                headers={"Accept-Encoding": "identity"},  # what is stored, byte for byte
            )
            downloader(address, str(aside), None)
    except requests.HTTPError as error:
        return f"answered {' '.join(str(error).split(' for url')[0].split())}"
    except (requests.RequestException, _TooLong) as error:
        return f"broke off ({' '.join(str(error).split())[:200]})"
    return None if _is_right(aside, file) else f"returned a file without the checksum {file.checksum}"


class _TooLong(Exception):
    pass


class _Meter:
    """Receives pooch's progress; aborts a download that is much longer than expected.

    pooch counts all chunks as full, so this uses the size of the file.
    """

    def __init__(self, progress: Progress, file: RemoteFile, aside: Path) -> None:
        self._progress = progress
        self._task = progress.add_task(file.name, total=file.bytes)
        self._limit = 2 * file.bytes + CHUNK
        self._aside = aside
        self.total = 0  # set by pooch from the server's response

    def update(self, _: int) -> None:
        count = self._aside.stat().st_size
        if count > self._limit:
            raise _TooLong("it is more than twice as long as expected")
        self._progress.update(self._task, completed=count)

    def reset(self) -> None:
        """Nothing to do, as for `close`: the caller ends the display."""

    def close(self) -> None:
        """See `reset`."""


class _Connections:
    """Tries to connect to all addresses at once, to detect an offline machine in seconds.

    Name resolution has no timeout, so each attempt has a thread, which is abandoned after the deadline.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self._deadline = time.monotonic() + CONNECT_S
        self._failures: dict[str, str | None] = {}
        self._threads = {a: threading.Thread(target=self._try, args=(a,), daemon=True) for a in addresses}
        for thread in self._threads.values():
            thread.start()

    def failure(self, address: str) -> str | None:
        """Why there is no connection to `address`, or None if there is one."""
        self._threads[address].join(max(0.0, self._deadline - time.monotonic()))
        return self._failures.get(address, f"cannot be reached (no answer within {CONNECT_S:g} s)")

    def _try(self, address: str) -> None:
        proxy = requests.utils.select_proxy(address, requests.utils.get_environ_proxies(address))
        target = urlsplit(requests.utils.prepend_scheme_if_needed(proxy, "http") if proxy else address)
        port = target.port or PORTS.get(target.scheme, 1080)
        try:
            socket.create_connection((target.hostname or "", port), timeout=CONNECT_S).close()
        except (OSError, ValueError) as error:  # ValueError: an impossible host name
            self._failures[address] = f"cannot be reached ({getattr(error, 'strerror', None) or error})"
        else:
            self._failures[address] = None


def _is_right(path: Path, file: RemoteFile) -> bool:
    algorithm, _, digest = file.checksum.partition(":")
    return bool(pooch.file_hash(str(path), alg=algorithm) == digest)


def _way_out(entry: Entry, folder: Path) -> str:
    embedded = " or ".join(e.name for e in DATASETS.values() if e.kind == entry.kind and not e.files)
    return f"use {embedded}, which needs no download, set TUNE_APP_DATA_MIRROR, or put the files in {folder}"


def _not_writable(folder: Path, error: OSError) -> InputError:
    return InputError(
        f"the cache folder must be writable, but {error.strerror or error}",
        where=str(folder),
        hint="set `TUNE_APP_DATA_DIR` to another one",
    )
