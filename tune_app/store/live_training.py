"""The progress of a training: ``trainings/<name>/live.json`` in the store."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from tune_app.folder import Folder
from tune_app.moment import now

PERIOD_S = 0.5
"""Minimum time between progress updates within an epoch."""


class LiveTraining:
    """Writes the progress of the training `name`: completed epochs, and the fraction of the current one."""

    def __init__(self, folder: Folder, name: str, epochs: int) -> None:
        self._folder, self._path = folder, _path(name)
        self._told: dict[str, Any] = {"epoch": 0, "epochs": epochs, "fraction": None, "metrics": {}}
        self._write()

    def progress(self, fraction: float) -> None:
        """This fraction (0..1) of the epoch is done."""
        self._told["fraction"] = fraction
        if time.monotonic() >= self._next:
            self._write()

    def epoch_ended(self, epoch: int, metrics: Mapping[str, float | None]) -> None:
        """Epoch number `epoch` is done; always written."""
        self._told |= {"epoch": epoch, "fraction": None, "metrics": dict(metrics)}
        self._write()

    def forget(self) -> None:
        """Remove the file: the training failed, and leaves nothing except files of a script."""
        self._folder.remove(self._path)
        if not self._folder.names(home := self._path.rpartition("/")[0]):
            self._folder.remove(home)

    def _write(self) -> None:
        self._folder.write(self._path, json.dumps({**self._told, "at": now()}).encode())
        self._next = time.monotonic() + PERIOD_S


def read_live_training(folder: Folder, name: str) -> dict[str, Any] | None:
    """What `LiveTraining` wrote: `epoch` of `epochs` are done, `fraction` of the next (None between epochs), the
    latest `metrics`, and the time (`at`); None if the training has not started."""
    content = folder.read(_path(name))
    return dict(json.loads(content)) if content else None


def _path(name: str) -> str:
    return f"trainings/{name}/live.json"
