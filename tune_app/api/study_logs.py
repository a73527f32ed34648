"""The studies that requests ask about: their event logs are read once, and then only what was added."""

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
"""Studies that are kept in memory: those asked for last."""


class StudyLogs:
    """Histories of studies, kept up to date."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    @contextmanager
    def reading(self, study: Study) -> Iterator[History]:
        """What the event log tells now; nobody changes it before the block ends.

        Raises:
            InputError: the log is damaged.
        """
        stamp = study.folder.stamp(f"{study.base}/spec.yaml")
        with self._mutex:
            kept = self._kept.get(study.name)
            if kept is None or kept.stamp != stamp:  # another one may have the name of one that was removed
                kept = self._kept[study.name] = _Kept(stamp, study.event_log())
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
    stamp: object
    log: EventLog
    mutex: Any = field(default_factory=threading.Lock)
