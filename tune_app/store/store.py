"""The store: what every trial of every study was, did and measured.

The truth of a study is its event log, ``studies/<name>/events.jsonl``: one JSON line per event, appended at once, so
that a killed process loses nothing. The two Parquet files are written from it, each replaced as a whole at most
once a second, so that a plain ``pandas.read_parquet`` sees whole, unique rows at any moment.

Exactly one process writes a study; a lock keeps a second one away.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tune_app.errors import InputError, NotFound, nearest
from tune_app.folder import Folder, LocalFolder, open_folder
from tune_app.spaces.catalog import Catalog
from tune_app.spaces.spec import Spec
from tune_app.spaces.variable import Categorical, Config, Float, Int, Variable
from tune_app.store.rebuilt_catalog import rebuilt_catalog
from tune_app.store.study_lock import LocalLock, RemoteLock, StudyLock
from tune_app.tasks import TASKS
from tune_app.tasks.catalogs import load_catalog

SCHEMA_VERSION = 1
STATES = ("RUNNING", "COMPLETED", "PRUNED", "FAILED", "CANCELLED")

_TIME = pa.timestamp("us", tz="UTC")
TRIAL_COLUMNS: dict[str, pa.DataType] = {
    "trial": pa.int64(),
    "trial_id": pa.string(),
    "state": pa.string(),
    "objective": pa.float64(),
    "failure_kind": pa.string(),
    "error": pa.string(),
    "epochs": pa.int64(),
    "started_at": _TIME,
    "ended_at": _TIME,
    "duration_s": pa.float64(),
    "node": pa.string(),
    "device": pa.string(),
    "gpu_fraction": pa.float64(),
    "peak_memory_mb": pa.float64(),
    "model_parameters": pa.int64(),
    "seed": pa.int64(),
    "attempt": pa.int64(),
    "checkpoint": pa.string(),
    "latency_ms": pa.float64(),
}
EPOCH_COLUMNS: dict[str, pa.DataType] = {
    "trial": pa.int64(),
    "epoch": pa.int64(),
    "ended_at": _TIME,
    "duration_s": pa.float64(),
}

Row = dict[str, Any]
FailureKind = Literal["error", "diverged", "oom", "lost"]
"""Why a trial failed: it raised, its figures were no longer finite, memory ran out, or its process or node died."""


@dataclass
class TrialRecord:
    """One trial as the event log tells it.

    Attributes:
        epochs: rows of the `epochs` table by epoch number, from 1.
        row: the row of the `trials` table; None while the trial has not ended.
    """

    trial: int
    trial_id: str
    config: Config
    seed: int
    attempt: int
    started_at: str
    epochs: dict[int, Row] = field(default_factory=dict)
    row: Row | None = None

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do for it; a cancelled trial is run again when its study is resumed."""
        return self.row is not None and self.row["state"] != "CANCELLED"


@dataclass
class History:
    """Everything the event log of one study tells."""

    trials: dict[int, TrialRecord] = field(default_factory=dict)
    last_event: int = 0
    sweeps: list[Row] = field(default_factory=list)

    def rows(self) -> list[Row]:
        """Rows of the `trials` table, in the order in which the trials ended."""
        ended = [r.row for r in self.trials.values() if r.row is not None]
        return sorted(ended, key=lambda row: (row["ended_at"], row["trial"]))

    def epoch_rows(self) -> Iterator[Row]:
        """Rows of the `epochs` table."""
        for record in self.trials.values():
            yield from record.epochs.values()

    def apply(self, event: Mapping[str, Any]) -> None:
        """Take one event of the log into account."""
        self.last_event = event["event"]
        kind = event["type"]
        if kind == "trial_started":
            number = event["trial"]
            former = self.trials.get(number)
            self.trials[number] = TrialRecord(
                trial=number,
                trial_id=event["trial_id"],
                config=event["config"],
                seed=event["seed"],
                attempt=event["attempt"],
                started_at=former.started_at if former else event["at"],
                epochs=former.epochs if former else {},
            )
        elif kind == "epochs":
            for row in event["rows"]:
                self.trials[row["trial"]].epochs[row["epoch"]] = row
        elif kind == "trial_ended":
            record = self.trials[event["row"]["trial"]]
            record.row = event["row"]
            # An earlier attempt may have gone further than the one that counts.
            record.epochs = {e: row for e, row in record.epochs.items() if e <= event["row"]["epochs"]}
        elif kind in ("sweep_started", "sweep_ended"):
            self.sweeps.append(dict(event))


def study_names(folder: Folder) -> list[str]:
    """Names of the studies in a store, sorted; a study begins with its ``spec.yaml``."""
    return [name for name in folder.names("studies") if folder.exists(f"studies/{name}/spec.yaml")]


class Store:
    """All studies under one root: a folder, or an address such as ``s3://bucket/results``."""

    def __init__(self, root: str | Path) -> None:
        self.folder = open_folder(root)

    def studies(self) -> list[str]:
        """Names of the studies, sorted."""
        return study_names(self.folder)

    def study(self, name: str) -> Study:
        """The study `name`.

        Raises:
            InputError: there is no such study.
        """
        names = self.studies()
        if name not in names:
            hint = nearest(name, names) if names else "the store is empty; start with `tune-app run`"
            raise NotFound(f"there is no study `{name}` in {self.folder.url}", hint=hint)
        return Study(self.folder, name)


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

    def checkpoint(self, trial: int) -> str:
        """Name of a trial's checkpoint in the store's folder."""
        return f"{self.base}/checkpoints/{trial:06d}.pt"

    def table(self, kind: str) -> pa.Table:
        """The `trials` or `epochs` table as it stands now; without rows where the sweep has only just started.

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
            return make_table([], TRIAL_COLUMNS if kind == "trials" else EPOCH_COLUMNS)
        try:
            table = pq.read_table(io.BytesIO(content))
        except (pa.ArrowException, OSError) as error:
            problem = " ".join(str(error).split())[:200]
            raise InputError(f"the table must be a Parquet file, but {problem}", where=where, hint=anew) from error
        _check_version((table.schema.metadata or {}).get(b"schema_version", b"none").decode(errors="replace"), where)
        return table

    def history(self) -> History:
        """Replay the event log; a last line that was cut by a crash is left out.

        Raises:
            InputError: the log is damaged, or of a schema version that this program does not know.
        """
        log = EventLog(self)
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
            return dict(YAML(typ="safe", pure=True).load(content))
        except (YAMLError, ValueError, TypeError) as error:
            problem = " ".join(str(error).split())[:200]
            raise InputError(f"the file must be a search space as it was run, but {problem}", where=where) from error

    def catalog(self) -> Catalog:
        """The catalog of the study's task, as it was when the study began.

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


class EventLog:
    """The event log of one study, read on from where the last reading ended.

    Attributes:
        history: what the events told that were read so far.
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        self._name = f"{study.base}/events.jsonl"
        self._lines = self._bytes = 0
        self.history = History()

    def read_on(self) -> list[Row]:
        """Take the events that were added since the last call into `history`, and give them.

        A last line that was cut by a crash, or is being written, is left for a later call. Where a line is damaged, the
        next call begins with it.

        Raises:
            InputError: the log is damaged, or of a schema version that this program does not know.
        """
        content = self._study.folder.read(self._name, self._bytes) or b""
        whole = content[: content.rfind(b"\n") + 1]
        events = []
        for line in whole.splitlines(keepends=True):
            events.append(self._take(line))
            self._lines += 1
            self._bytes += len(line)
        return events

    def _take(self, line: bytes) -> Row:
        where = f"{self._study.folder.path(self._name)}:{self._lines + 1}"
        try:
            event: Row = json.loads(line)
            if event["type"] == "sweep_started":
                _check_version(event.get("schema_version", SCHEMA_VERSION), where)
            self.history.apply(event)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            rule = f"a line of the event log must be one event, but got {line.rstrip()[:80].decode(errors='replace')!r}"
            raise InputError(rule, where=where, hint="remove the line; what it told is lost") from error
        return event


def column_types(variables: Iterable[Variable]) -> dict[str, pa.DataType]:
    """Types of the ``config/<group>/<variable>`` columns."""
    return {v.column: _column_type(v) for v in variables}


def _column_type(variable: Variable) -> pa.DataType:
    domain = variable.domain
    if isinstance(domain, Float):
        return pa.float64()
    if isinstance(domain, Int):
        return pa.int64()
    assert isinstance(domain, Categorical)
    kinds = {type(choice) for choice in domain.choices}
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {int}:
        return pa.int64()
    if kinds <= {int, float}:
        return pa.float64()
    return pa.string()


def make_table(rows: list[Row], columns: Mapping[str, pa.DataType]) -> pa.Table:
    """Rows as a table: `columns` first, then what else the rows bring: figures (``metric/…``, ``health/…``) as numbers.

    What is absent and what is not a finite number is null.
    """
    types = dict(columns)
    for row in rows:
        for name, value in row.items():
            if name not in types and (value is not None or name.startswith(("metric/", "health/"))):
                types[name] = {str: pa.string(), bool: pa.bool_()}.get(type(value), pa.float64())
    arrays = [pa.array([_cell(row.get(name), kind) for row in rows], kind) for name, kind in types.items()]
    metadata = {"schema_version": str(SCHEMA_VERSION)}
    return pa.Table.from_arrays(arrays, schema=pa.schema(list(types.items()), metadata=metadata))


def _cell(value: Any, kind: pa.DataType) -> Any:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if kind == _TIME:
        return datetime.fromisoformat(value)
    return str(value) if kind == pa.string() else value


def _check_version(found: object, where: str) -> None:
    if str(found) not in map(str, range(1, SCHEMA_VERSION + 1)):
        raise InputError(
            f"`schema_version` must be 1 to {SCHEMA_VERSION}, but got {found}", where=where, hint="update tune-app"
        )


def family(row: Mapping[str, Any], prefix: str) -> Row:
    """The values of the columns ``prefix/…`` by the rest of their names."""
    return {key.removeprefix(f"{prefix}/"): value for key, value in row.items() if key.startswith(f"{prefix}/")}


def now() -> str:
    """This moment in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat()
