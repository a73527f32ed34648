"""The files of one study.

The truth of a study is its event log, ``studies/<name>/events.jsonl``: one JSON line per event, appended at once, so
that a killed process loses nothing. The two Parquet files are written from it, each replaced as a whole at most
once a second, so that a plain ``pandas.read_parquet`` sees whole, unique rows at any moment.

Exactly one process writes a study; a lock keeps a second one away.
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

KEEP = "the best trials that completed keep one"
"""About checkpoints, for whoever looks for that of another trial."""


class Study:
    """The files of one study, for reading."""

    def __init__(self, folder: Folder, name: str) -> None:
        self.folder = folder
        self.name = name
        self.base = f"studies/{name}"
        self._lock: StudyLock | None = None

    @property
    def trials_path(self) -> str:
        """What ``pandas.read_parquet`` takes for one row per finished trial."""
        return self.folder.path(f"trials/study={self.name}")

    @property
    def epochs_path(self) -> str:
        """What ``pandas.read_parquet`` takes for one row per trial and epoch."""
        return self.folder.path(f"epochs/study={self.name}")

    def exists(self) -> bool:
        """Whether the study has begun: whether it has its ``spec.yaml``."""
        return self.folder.exists(f"{self.base}/spec.yaml")

    def refuse_another(self) -> None:
        """Refuse a sweep that would begin under this name.

        Raises:
            InputError: the study has begun already.
        """
        if self.exists():
            raise InputError(
                f"the study `{self.name}` exists in {self.folder.url}",
                hint=f"go on with `tune-app resume {self.name}`, or choose another name: --name, in Python `name=…`",
            )

    def checkpoint(self, trial: int) -> str:
        """Name of a trial's checkpoint in the store's folder."""
        return f"{self.base}/checkpoints/{trial:06d}.pt"

    def log(self, trial: int) -> str:
        """Name of what a trial printed, in the store's folder so far; absent where it has printed nothing."""
        return f"{self.base}/logs/{trial:06d}.log"

    def table(self, kind: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The `trials` or `epochs` table as it stands now, or some columns; no rows if the sweep has only just started.

        Raises:
            InputError: the file is absent, damaged, or of a schema version that this program does not know.
        """
        name = f"{kind}/study={self.name}/data.parquet"
        content = self.folder.read(name)
        where = self.folder.path(name)
        anew = f"`tune-app resume {self.name}` writes it anew"
        if content is None:
            if self.folder.exists(f"{self.base}/events.jsonl"):
                raise InputError("the table of the study must be there, but it is missing", where=where, hint=anew)
            empty = make_table([], TRIAL_COLUMNS if kind == "trials" else EPOCH_COLUMNS)
            return empty if columns is None else empty.select(columns)
        try:
            table = pq.read_table(io.BytesIO(content), columns=columns)
        except (pa.ArrowException, OSError) as error:
            problem = " ".join(str(error).split())[:200]
            raise InputError(f"the table must be a Parquet file, but {problem}", where=where, hint=anew) from error
        check_version((table.schema.metadata or {}).get(b"schema_version", b"none").decode(errors="replace"), where)
        return table

    def event_log(self) -> EventLog:
        """The event log, of which nothing is read yet."""
        return EventLog(self.folder, f"{self.base}/events.jsonl")

    def history(self) -> History:
        """Replay the event log; a last line that was cut by a crash is left out.

        Raises:
            InputError: the log is damaged, or of a schema version that this program does not know.
        """
        log = self.event_log()
        log.read_on()
        return log.history

    def document(self) -> dict[str, Any]:
        """``spec.yaml``: the search space as it was run.

        Raises:
            InputError: the file is absent or damaged.
        """
        content = self.folder.read(f"{self.base}/spec.yaml")
        where = self.folder.path(f"{self.base}/spec.yaml")
        if content is None:
            raise InputError("a study must have its spec.yaml, but it is missing", where=where)
        try:
            return dict(read_yaml(content))
        except (ValueError, TypeError) as error:
            problem = " ".join(str(error).split())[:200]
            raise InputError(f"the file must be a search space as it was run, but {problem}", where=where) from error

    def keeps_catalog(self) -> bool:
        """Whether the study keeps its task's catalog; one that is older than catalogs does not."""
        return self.folder.exists(f"{self.base}/catalog.json")

    def catalog(self) -> Catalog:
        """The catalog of the study's task, as it was when the study was last run.

        A study that was written before studies kept their catalogs has today's catalog if the task is one of ours. A
        user's own task is not imported: its catalog is made of the search space and the table of trials.

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
        """The search space as it was run, read against the study's own catalog.

        Raises:
            InputError: one of the two is damaged.
        """
        return Spec.from_dict(self.document(), self.folder.path(f"{self.base}/spec.yaml"), self.catalog())

    def json(self, name: str) -> dict[str, Any]:
        """``catalog.json``, ``provenance.json`` or ``live.json``; empty where it is not written yet.

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
        """Have the right to write this study, alone.

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
        """Raise WorkFailed where another process took over the study that this one is `writing`."""
        if self._lock is not None:
            self._lock.check()

    def release_lock(self) -> None:
        """Let others write the study that this process is `writing`, where it ends without leaving the block."""
        if self._lock is not None:
            self._lock.release()

    def being_written(self) -> bool:
        """Whether a process writes this study now."""
        try:
            return self._make_lock().is_held()
        except OSError:  # a store that this user may only read
            return self.json("live.json").get("state") == "running"

    def _make_lock(self) -> StudyLock:
        # Beside the study's folder, which appears with its first file: a run that is refused leaves no empty study.
        name, where = f"studies/.{self.name}.lock", self.folder.path(self.base)
        if isinstance(self.folder, LocalFolder):
            return LocalLock(self.name, where, self.folder.root / name)
        return RemoteLock(self.name, where, self.folder, name)
