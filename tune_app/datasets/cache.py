"""The cache folder: downloads, and data that takes seconds to read from its files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from tune_app.datasets.dataset import Dataset
from tune_app.datasets.entry import Entry

VERSION = 3
"""Part of the name of cached data: increase it if a loader produces something else from the same files."""


def data_folder() -> Path:
    """The cache folder: ``TUNE_APP_DATA_DIR``, or the system's folder for caches. Not created here."""
    given = os.environ.get("TUNE_APP_DATA_DIR")
    if given:
        return Path(os.path.expanduser(given)).absolute()  # unlike Path.expanduser, no error for an unknown ~user
    import pooch

    return Path(pooch.os_cache("tune-app"))


def state_of(entry: Entry) -> str:
    """``embedded``, ``fetched``, ``incomplete`` or ``absent``: only checks whether the files exist; `verify` reads
    them."""
    if not entry.files:
        return "embedded"
    there = sum(data_folder().joinpath(entry.name, file.name).is_file() for file in entry.files)
    return "fetched" if there == len(entry.files) else "incomplete" if there else "absent"


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Create `folder` and lock it: other processes wait.

    Raises:
        OSError: the folder cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        yield


def load_kept(entry: Entry, files: Sequence[Path], *, official: bool) -> Dataset:
    """Load a data set from its files; if that is slow, from data cached by an earlier load of the same content.

    The cache is an uncompressed ``.npz`` without pickles, written to a temporary file and renamed; its checksums are
    verified when it is read. If the cache folder is not writable, nothing is cached.

    Raises:
        InputError: as the entry's loader.
    """
    if not entry.slow:
        return entry.load(files)
    folder = data_folder() / entry.name
    # The official files were just verified, so their checksums identify the content.
    content = "".join(file.checksum for file in entry.files) if official else "".join(map(_sha256, files))
    path = folder / f"read-v{VERSION}-{hashlib.sha256(content.encode()).hexdigest()[:20]}.npz"
    kept = _read(entry, path)
    if kept is not None:
        return kept
    data = entry.load(files)
    with contextlib.suppress(OSError), writing(folder):
        _write(path, data)
    return data


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, data: Dataset) -> None:
    arrays: dict[str, np.ndarray] = {"info": np.frombuffer(json.dumps(dict(data.info)).encode(), dtype=np.uint8)}
    for part, columns in (("train", data.train), ("test", data.test)):
        for name, array in columns.items():
            if array.dtype == object:
                encoded = [text.encode() for text in array]
                arrays[f"{part}/{name}/ends"] = np.cumsum([len(text) for text in encoded], dtype=np.int64)
                array = np.frombuffer(b"".join(encoded), dtype=np.uint8)
            arrays[f"{part}/{name}"] = array
    aside = path.with_suffix(".part")
    with aside.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    os.replace(aside, path)


def _read(entry: Entry, path: Path) -> Dataset | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            info: dict[str, Any] = json.loads(arrays["info"].tobytes())
            parts: dict[str, dict[str, np.ndarray]] = {"train": {}, "test": {}}
            for key in arrays.files:
                part, _, name = key.partition("/")
                if name and not name.endswith("/ends"):
                    ends = f"{key}/ends"
                    parts[part][name] = _texts(arrays[key], arrays[ends]) if ends in arrays else arrays[key]
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None  # missing or damaged: recreate it
    info = {key: tuple(value) if isinstance(value, list) else value for key, value in info.items()}
    return Dataset(entry.name, entry.kind, parts["train"], parts["test"], info)


def _texts(content: np.ndarray, ends: np.ndarray) -> np.ndarray:
    joined = content.tobytes()
    starts = [0, *ends[:-1].tolist()]
    texts = np.empty(len(ends), dtype=object)
    texts[:] = [joined[start:end].decode() for start, end in zip(starts, ends.tolist(), strict=True)]
    return texts
