"""A training framework's own checkpoint inside a trial's checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

Files = dict[str, Tensor]
"""The bytes of each file, (size,) of uint8, by its path in the folder."""


class FrameworkCheckpoint:
    """The object for `report.restore`: saves the files of a folder, and restores them.

    Attributes:
        restored: the folder with the files of an earlier attempt; None on a fresh start.
    """

    def __init__(self, folder: Path, save: Callable[[], Path]) -> None:
        """Args:
        folder: where the files of an earlier attempt are written to.
        save: makes the framework write its checkpoint; returns its folder.
        """
        self._folder, self._save = folder, save
        self.restored: Path | None = None

    def state_dict(self) -> Files:
        """All files of a new checkpoint."""
        folder = self._save()
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): _bytes(path) for path in paths}

    def load_state_dict(self, saved: Mapping[str, Tensor]) -> None:
        """Write the files that were saved."""
        for name, held in saved.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            held.cpu().numpy().tofile(path)
        self.restored = self._folder


def _bytes(path: Path) -> Tensor:
    return torch.from_numpy(np.fromfile(path, dtype=np.uint8))
