"""The studies that requests ask about: their event logs are read once, and then only what was added."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tune_app.store import EventLog, History, Store, Study

KEPT = 16
"""Studies that are kept in memory: those asked for last."""


class StudyLogs:
    """Histories of studies, kept up to date."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._mutex = threading.Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    @contextmanager
    def reading(self, study: Study) -> Iterator[History]:
        """What the event log tells now; nobody changes it before the block ends.

        Raises:
            InputError: the log is damaged.
        """
        with self._mutex:
            kept = self._kept.get(study.name) or _Kept(EventLog(study))
            self._kept[study.name] = kept
            self._kept.move_to_end(study.name)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        with kept.mutex:
            kept.log.read_on()
            yield kept.log.history

    def forget(self, name: str) -> None:
        """Let go of a study that was removed."""
        with self._mutex:
            self._kept.pop(name, None)


@dataclass
class _Kept:
    log: EventLog
    mutex: Any = field(default_factory=threading.Lock)
