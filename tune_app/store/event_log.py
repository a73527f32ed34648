"""The event log of a study and its content: the source of truth for all other files."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic_core import from_json

from tune_app.errors import InputError
from tune_app.folder import Folder
from tune_app.readable import writable
from tune_app.spaces.variable import Config
from tune_app.store.columns import SCHEMA_VERSION, Row, check_version
from tune_app.store.trial_row import Source, TrialRow, TrialState

LARGE = 2**20
"""Logs of at least this many bytes are excluded from garbage collection once read, with all else alive by then."""


@dataclass
class TrialRecord:
    """One trial according to the event log.

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
    row: TrialRow | None = None
    source: Source | None = None

    @property
    def finished(self) -> bool:
        """Whether it is finished; a cancelled trial runs again when its study is resumed."""
        return self.row is not None and self.row.state != TrialState.CANCELLED


@dataclass
class History:
    """Everything in the event log of one study.

    Attributes:
        changes: how many requested changes were made, see `sweep_changes`.
        requested: the trials requested by the user, by number: their ``config``, ``seed`` and ``source``.
    """

    trials: dict[int, TrialRecord] = field(default_factory=dict)
    last_event: int = 0
    sweeps: list[Row] = field(default_factory=list)
    changes: int = 0
    requested: dict[int, Row] = field(default_factory=dict)

    def rows(self) -> list[TrialRow]:
        """Rows of the `trials` table, in the order in which the trials ended."""
        ended = [r.row for r in self.trials.values() if r.row is not None]
        return sorted(ended, key=lambda row: (row.ended_at, row.trial))

    def epoch_rows(self) -> Iterator[Row]:
        """Rows of the `epochs` table."""
        for record in self.trials.values():
            yield from record.epochs.values()

    def apply(self, event: Mapping[str, Any]) -> None:
        """Apply one event of the log."""
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
                source=event.get("source"),
                epochs=former.epochs if former else {},
            )
        elif kind == "epochs":
            for told in event["rows"]:
                self.trials[told["trial"]].epochs[told["epoch"]] = told
        elif kind == "trial_ended":
            row = TrialRow.from_columns(event["row"])
            record = self.trials[row.trial]
            record.row = row
            # An earlier attempt may have got further than the one that counts.
            record.epochs = {epoch: told for epoch, told in record.epochs.items() if epoch <= row.epochs}
        elif kind == "sweep_changed":
            self.changes = event["changes"]
            self.requested |= {int(number): told for number, told in event["requested"].items()}
        elif kind == "checkpoint_removed":
            record = self.trials[event["trial"]]
            record.row = None if record.row is None else replace(record.row, checkpoint=None)
        elif kind in ("sweep_started", "sweep_ended"):
            self.sweeps.append(dict(event))


class EventLog:
    """The event log of one study, read incrementally.

    Attributes:
        history: the content of the events read so far.
    """

    def __init__(self, folder: Folder, name: str) -> None:
        self._folder, self._name = folder, name
        self._lines = self._bytes = 0
        self.history = History()

    def read_on(self) -> None:
        """Apply the events added since the last call to `history`.

        An incomplete last line, cut off by a crash or still being written, is left for a later call. If a line is
        damaged, the next call starts with it.

        Raises:
            InputError: the log is damaged, or of a schema version that this program does not know.
        """
        self._read(lambda event: None)

    def new_events(self) -> list[Row]:
        """Like `read_on`, but returns the events, all at once, which takes more memory.

        Raises:
            InputError: as `read_on`.
        """
        events: list[Row] = []
        self._read(events.append)
        return events

    def _read(self, tell: Callable[[Row], object]) -> None:
        content = self._folder.read(self._name, self._bytes) or b""
        whole = content[: content.rfind(b"\n") + 1]
        with _without_collection(len(whole)):
            for line in whole.splitlines(keepends=True):
                tell(self._take(line))
                self._lines += 1
                self._bytes += len(line)

    def _take(self, line: bytes) -> Row:
        try:
            # `from_json` takes half the time, and shares equal keys between lines; but it rejects half a surrogate
            # pair, which JSON allows and older logs contain.
            event: Row = writable(json.loads(line)) if b"\\ud" in line else from_json(line, cache_strings="keys")
            if event["type"] == "sweep_started":
                check_version(event.get("schema_version", SCHEMA_VERSION), self._where())
            self.history.apply(event)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            rule = f"a line of the event log must be one event, but got {line.rstrip()[:80].decode(errors='replace')!r}"
            raise InputError(rule, where=self._where(), hint="remove the line; its event is lost") from error
        return event

    def _where(self) -> str:
        return f"{self._folder.path(self._name)}:{self._lines + 1}"


@contextmanager
def _without_collection(size: int) -> Iterator[None]:
    """No garbage collection while `size` bytes are read: none of it is garbage.

    A large log is also excluded from all later collections, each of which would take a tenth of a second longer.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if size >= LARGE:
            gc.freeze()
        if collecting:
            gc.enable()
