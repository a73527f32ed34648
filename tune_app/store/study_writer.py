"""The one writer of a study: events immediately, Parquet and live state from a separate thread."""

from __future__ import annotations

import io
import json
import math
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tune_app.errors import TuneAppError, WorkFailed
from tune_app.folder import LocalFolder
from tune_app.moment import now
from tune_app.readable import writable
from tune_app.spaces.variable import Config
from tune_app.store.columns import EPOCH_COLUMNS, SCHEMA_VERSION, TRIAL_COLUMNS, Row, make_table
from tune_app.store.event_log import History
from tune_app.store.study import Study
from tune_app.store.trial_row import Source, TrialRow

FLUSH_PERIOD_S = 1.0
LIVE_PERIOD_S = 0.1
REMOTE_PERIOD_S = 1.0
"""On an object store, each batch of events and each live state is a request, which costs time and money."""
REMOTE_CHECK_S = 5.0
"""How often a writer checks that its study is still on the object store, which also costs a request."""
# A table that takes long to write is written less often: at most 5% of the time.
FLUSH_SHARE = 20


class StudyWriter:
    """Writes what happens in a sweep.

    `history` is the existing content: empty for a new study, replayed from the log on resume. The tables are rewritten
    from it immediately, which also repairs them after a crash.

    Raises (every method):
        TuneAppError: the store could not be written, now or earlier in the background.
    """

    def __init__(self, study: Study, history: History, config_columns: Mapping[str, pa.DataType]) -> None:
        self._study = study
        self._folder = study.folder
        self._history = history
        self._columns = {
            "trials": {**TRIAL_COLUMNS, **config_columns},
            "epochs": dict(EPOCH_COLUMNS),
        }
        self._mutex = threading.Lock()
        self._new_rows = _rows(history)
        self._tables = {kind: make_table([], self._columns[kind]) for kind in self._columns}
        self._rewrite = False
        self._unsent: list[bytes] = []
        self._live: bytes | None = None
        self._error: BaseException | None = None
        self._next_check = time.monotonic() + REMOTE_CHECK_S
        self._closing = threading.Event()
        for kind in self._columns:
            self._folder.remove_leftovers(f"{kind}/study={study.name}")
        self._folder.remove_leftovers(study.base)
        self._end_cut_line()
        self._flush_tables(force=True)
        self._thread = threading.Thread(target=self._run, name="study-writer", daemon=True)
        self._thread.start()

    def sweep_started(self, **facts: Any) -> None:
        """A driver opened the study."""
        with self._mutex:
            self._emit("sweep_started", schema_version=SCHEMA_VERSION, **facts)

    def sweep_ended(self, **facts: Any) -> None:
        """The driver leaves the study."""
        with self._mutex:
            self._emit("sweep_ended", **facts)

    def trial_started(
        self, trial: int, trial_id: str, config: Config, seed: int, attempt: int, source: Source | None = None
    ) -> None:
        """A trial started or restarted: epochs of an earlier attempt count until they are measured again."""
        with self._mutex:
            former = self._history.trials.get(trial)
            self._rewrite |= former is not None and former.row is not None
            facts = {"trial": trial, "trial_id": trial_id, "seed": seed, "attempt": attempt, "source": source}
            self._emit("trial_started", config=config, **facts)

    def epochs(self, rows: list[Row]) -> None:
        """Completed epochs of one trial."""
        rows = [_finite(writable(row)) for row in rows]
        with self._mutex:
            known = self._history.trials[rows[0]["trial"]].epochs
            self._rewrite |= any(row["epoch"] in known for row in rows)
            self._emit("epochs", rows=rows)
            self._new_rows["epochs"].extend(rows)

    def trial_ended(self, row: TrialRow) -> None:
        """A trial reached its end state; epochs beyond its last one no longer count."""
        columns = _finite(writable(row.to_columns()))
        with self._mutex:
            record = self._history.trials[row.trial]
            self._rewrite |= record.row is not None or any(epoch > row.epochs for epoch in record.epochs)
            self._emit("trial_ended", row=columns)
            self._new_rows["trials"].append(columns)

    def sweep_changed(self, changes: int, requested: Mapping[int, Row]) -> None:
        """A requested change was made; `requested` has the trials that it adds, by number."""
        with self._mutex:
            self._emit(
                "sweep_changed", changes=changes, requested={str(n): dict(told) for n, told in requested.items()}
            )

    def checkpoint_removed(self, trial: int) -> None:
        """An ended trial no longer has a checkpoint."""
        with self._mutex:
            self._rewrite = True
            self._emit("checkpoint_removed", trial=trial)

    def live(self, state: Mapping[str, Any]) -> None:
        """Replace the live state; written within `LIVE_PERIOD_S`, or `REMOTE_PERIOD_S` on a remote store."""
        content = json.dumps(writable(state)).encode()
        with self._mutex:
            self._live = content

    def check(self) -> None:
        """Raise an error from the background thread."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Write the rest and end the thread."""
        self._closing.set()
        self._thread.join()
        self.check()

    def __enter__(self) -> StudyWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except TuneAppError:
            if error is None:
                raise

    def _emit(self, kind: str, **facts: Any) -> None:
        self.check()
        event = {"event": self._history.last_event + 1, "at": now(), "type": kind, **writable(facts)}
        line = json.dumps(event, allow_nan=False).encode() + b"\n"
        if isinstance(self._folder, LocalFolder):
            self._check_there()
            self._folder.append(f"{self._study.base}/events.jsonl", line)
        else:
            self._unsent.append(line)
        self._history.apply(event)  # last: an event that could not be logged did not happen

    def _check_there(self) -> None:
        """Do not recreate a study that was removed.

        On an object store, where the log is written in parts, this looks for the search space, every `REMOTE_CHECK_S`.

        Raises:
            WorkFailed: the study is gone.
        """
        local = isinstance(self._folder, LocalFolder)
        if not self._history.last_event or (not local and time.monotonic() < self._next_check):
            return
        self._next_check = time.monotonic() + REMOTE_CHECK_S
        name, words = ("events.jsonl", "event log") if local else ("spec.yaml", "search space")
        if not self._folder.exists(f"{self._study.base}/{name}"):
            raise WorkFailed(
                f"a study must stay in place while its sweep writes it, but its {words} is gone",
                where=self._folder.path(f"{self._study.base}/{name}"),
                hint="restore the study and resume it, or run its search space again",
            )

    def _end_cut_line(self) -> None:
        content = self._folder.read(f"{self._study.base}/events.jsonl")
        if content and not content.endswith(b"\n") and isinstance(self._folder, LocalFolder):
            self._folder.write(f"{self._study.base}/events.jsonl", content[: content.rfind(b"\n") + 1])

    def _run(self) -> None:
        next_tables = time.monotonic() + FLUSH_PERIOD_S
        period = LIVE_PERIOD_S if isinstance(self._folder, LocalFolder) else REMOTE_PERIOD_S
        try:
            while not self._closing.wait(period):
                self._study.check_lock()
                self._check_there()
                self._flush_events()
                self._flush_live()
                began = time.monotonic()
                if began >= next_tables:
                    self._flush_tables()
                    cost = time.monotonic() - began
                    next_tables = began + max(FLUSH_PERIOD_S, FLUSH_SHARE * cost)
            self._study.check_lock()
            self._check_there()
            self._flush_events()
            self._folder.merge(f"{self._study.base}/events.jsonl")
            self._flush_tables()
            self._flush_live()
        except BaseException as error:  # passed to the thread that uses the writer, by `check`
            self._error = error

    def _flush_events(self) -> None:
        if self._unsent:
            with self._mutex:
                lines, self._unsent = self._unsent, []
            self._folder.append(f"{self._study.base}/events.jsonl", b"".join(lines))

    def _flush_live(self) -> None:
        with self._mutex:
            live, self._live = self._live, None
        if live is not None:
            self._folder.write(f"{self._study.base}/live.json", live)

    def _flush_tables(self, force: bool = False) -> None:
        with self._mutex:
            if self._rewrite:
                self._new_rows = _rows(self._history)
                self._tables = {kind: make_table([], self._columns[kind]) for kind in self._columns}
                self._rewrite = False
                force = True
            new, self._new_rows = self._new_rows, {"trials": [], "epochs": []}
        if force or any(new.values()):
            # The log first: after a machine crash it must know at least what the tables show.
            self._folder.sync(f"{self._study.base}/events.jsonl")
        # Epochs first: a trial in `trials` must have all its epochs in `epochs`.
        for kind in ("epochs", "trials"):
            if new[kind] or force:
                added = make_table(new[kind], self._columns[kind])
                self._tables[kind] = pa.concat_tables([self._tables[kind], added], promote_options="default")
                self._write_table(kind)

    def _write_table(self, kind: str) -> None:
        table = self._tables[kind].combine_chunks()
        self._tables[kind] = table
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        self._folder.write(f"{kind}/study={self._study.name}/data.parquet", buffer.getvalue())


def _rows(history: History) -> dict[str, list[Row]]:
    """All rows of the two tables."""
    return {"trials": [row.to_columns() for row in history.rows()], "epochs": list(history.epoch_rows())}


def _finite(row: Row) -> Row:
    """The row with null for NaN and infinity, which JSON does not support."""
    return {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in row.items()}
