"""Event logs of requested studies: read once, then only the additions."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tune_app.store.event_log import EventLog, History
from tune_app.store.study import Study

KEPT = 16
"""Number of studies to keep in memory: the most recently requested ones."""


class StudyLogs:
    """Histories of studies, kept up to date."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    @contextmanager
    def reading(self, study: Study) -> Iterator[History]:
        """The current content of the event log; it does not change within the block.

        Raises:
            InputError: the log is damaged.
        """
        stamp = study.folder.stamp(f"{study.base}/spec.yaml")
        with self._mutex:
            kept = self._kept.get(study.name)
            if kept is None or kept.stamp != stamp:  # another study may have the name of a removed one
                kept = self._kept[study.name] = _Kept(stamp, study.event_log())
            self._kept.move_to_end(study.name)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        with kept.mutex:
            kept.log.read_on()
            yield kept.log.history

    def forget(self, name: str) -> None:
        """Forget a removed study."""
        with self._mutex:
            self._kept.pop(name, None)


@dataclass
class _Kept:
    stamp: object
    log: EventLog
    mutex: Any = field(default_factory=threading.Lock)
