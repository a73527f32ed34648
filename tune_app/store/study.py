"""The files of one study.

The source of truth is the event log, ``studies/<name>/events.jsonl``: one JSON line per event, appended immediately,
so that a killed process loses nothing. The two Parquet files are written from it, each replaced as a whole at most
once a second, so that a plain ``pandas.read_parquet`` sees complete, unique rows at any time. Exactly one process
writes a study; a lock keeps others out.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tune_app.errors import InputError
from tune_app.folder import Folder, LocalFolder
from tune_app.spaces.catalog import Catalog
from tune_app.spaces.spec import Spec
from tune_app.store.columns import EPOCH_COLUMNS, TRIAL_COLUMNS, check_version, make_table
from tune_app.store.event_log import EventLog, History
from tune_app.store.rebuilt_catalog import rebuilt_catalog
from tune_app.store.study_lock import LocalLock, RemoteLock, StudyLock
from tune_app.tasks import TASKS
from tune_app.tasks.catalogs import load_catalog
from tune_app.written_yaml import read_yaml

KEEP = "only the best completed trials keep one"
"""The hint for users who look for the checkpoint of another trial."""


class Study:
    """The files of one study, for reading."""

    def __init__(self, folder: Folder, name: str) -> None:
        self.folder = folder
        self.name = name
        self.base = f"studies/{name}"
        self._lock: StudyLock | None = None

    @property
    def trials_path(self) -> str:
        """Path for ``pandas.read_parquet``: one row per finished trial."""
        return self.folder.path(f"trials/study={self.name}")

    @property
    def epochs_path(self) -> str:
        """Path for ``pandas.read_parquet``: one row per trial and epoch."""
        return self.folder.path(f"epochs/study={self.name}")

    def exists(self) -> bool:
        """Whether the study exists: whether it has its ``spec.yaml``."""
        return self.folder.exists(f"{self.base}/spec.yaml")

    def refuse_another(self) -> None:
        """Reject a new sweep under this name.

        Raises:
            InputError: the study already exists.
        """
        if self.exists():
            raise InputError(
                f"the study `{self.name}` exists in {self.folder.url}",
                hint=f"continue with `tune-app resume {self.name}`, or choose another name: --name, in Python `name=…`",
            )

    def checkpoint(self, trial: int) -> str:
        """Name of a trial's checkpoint in the store's folder."""
        return f"{self.base}/checkpoints/{trial:06d}.pt"

    def log(self, trial: int) -> str:
        """Name of a trial's log in the store's folder; the file is missing if the trial printed nothing."""
        return f"{self.base}/logs/{trial:06d}.log"

    def table(self, kind: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The current `trials` or `epochs` table, or some columns; without rows if the sweep has just started.

        Raises:
            InputError: the file is missing, damaged, or of an unknown schema version.
        """
        name = f"{kind}/study={self.name}/data.parquet"
        content = self.folder.read(name)
        where = self.folder.path(name)
        rebuild = f"`tune-app resume {self.name}` writes it again"
        if content is None:
            if self.folder.exists(f"{self.base}/events.jsonl"):
                raise InputError("the study must have its table, but it is missing", where=where, hint=rebuild)
            empty = make_table([], TRIAL_COLUMNS if kind == "trials" else EPOCH_COLUMNS)
            return empty if columns is None else empty.select(columns)
        try:
            table = pq.read_table(io.BytesIO(content), columns=columns)
        except (pa.ArrowException, OSError) as error:
            problem = " ".join(str(error).split())[:200]
            raise InputError(f"the table must be a Parquet file, but {problem}", where=where, hint=rebuild) from error
        check_version((table.schema.metadata or {}).get(b"schema_version", b"none").decode(errors="replace"), where)
        return table

    def event_log(self) -> EventLog:
        """The event log, not read yet."""
        return EventLog(self.folder, f"{self.base}/events.jsonl")

    def history(self) -> History:
        """Replay the event log; skips a last line cut off by a crash.

        Raises:
            InputError: the log is damaged, or of an unknown schema version.
        """
        log = self.event_log()
        log.read_on()
        return log.history

    def document(self) -> dict[str, Any]:
        """``spec.yaml``: the search space of the sweep.

        Raises:
            InputError: the file is missing or damaged.
        """
        content = self.folder.read(f"{self.base}/spec.yaml")
        where = self.folder.path(f"{self.base}/spec.yaml")
        if content is None:
            raise InputError("a study must have its spec.yaml, but it is missing", where=where)
        try:
            return dict(read_yaml(content))
        except (ValueError, TypeError) as error:
            problem = " ".join(str(error).split())[:200]
            raise InputError(f"the file must be the search space of the sweep, but {problem}", where=where) from error

    def keeps_catalog(self) -> bool:
        """Whether the study stores its task's catalog; old studies do not."""
        return self.folder.exists(f"{self.base}/catalog.json")

    def catalog(self) -> Catalog:
        """The catalog of the study's task at the time of its last run.

        For a study from before studies stored their catalogs: the current catalog if the task is one of ours. A user's
        own task is not imported; its catalog is rebuilt from the search space and the table of trials.

        Raises:
            InputError: the file is damaged.
        """
        content = self.json("catalog.json")
        if content:
            return Catalog.from_dict(content, self.folder.path(f"{self.base}/catalog.json"))
        document = self.document()
        return (
            load_catalog(document["task"])
            if document["task"] in TASKS
            else rebuilt_catalog(document, self.table("trials"))
        )

    def spec(self) -> Spec:
        """The search space of the sweep, read against the study's own catalog.

        Raises:
            InputError: one of the two is damaged.
        """
        return Spec.from_dict(self.document(), self.folder.path(f"{self.base}/spec.yaml"), self.catalog())

    def json(self, name: str) -> dict[str, Any]:
        """``catalog.json``, ``provenance.json`` or ``live.json``; empty if it is not written yet.

        Raises:
            InputError: the file is damaged.
        """
        content = self.folder.read(f"{self.base}/{name}")
        try:
            return dict(json.loads(content)) if content else {}
        except (ValueError, TypeError) as error:
            where = self.folder.path(f"{self.base}/{name}")
            raise InputError(f"the file must be a JSON object, but {error}", where=where) from error

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Acquire the exclusive right to write this study.

        Raises:
            Conflict: another process writes it.
            WorkFailed: the folder cannot be written.
        """
        self._lock = self._make_lock()
        try:
            with self._lock.held():
                yield
        finally:
            self._lock = None

    def check_lock(self) -> None:
        """Raise WorkFailed if another process took over the study that this one is `writing`."""
        if self._lock is not None:
            self._lock.check()

    def release_lock(self) -> None:
        """Release the study that this process is `writing`, if the process ends without leaving the block."""
        if self._lock is not None:
            self._lock.release()

    def being_written(self) -> bool:
        """Whether a process is writing this study."""
        try:
            return self._make_lock().is_held()
        except OSError:  # a read-only store
            return self.json("live.json").get("state") == "running"

    def _make_lock(self) -> StudyLock:
        # Next to the study's folder, which only appears with its first file: a rejected run leaves no empty study.
        name, where = f"studies/.{self.name}.lock", self.folder.path(self.base)
        if isinstance(self.folder, LocalFolder):
            return LocalLock(self.name, where, self.folder.root / name)
        return RemoteLock(self.name, where, self.folder, name)
