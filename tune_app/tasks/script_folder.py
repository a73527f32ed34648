"""The folder of a script's trial in its checkpoint: all of its files in one tensor."""

from __future__ import annotations

import os
import tarfile
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor

QUIET_S = 0.2
"""A folder is packed when nothing in it was written for so long: a file that is half written would be of no use."""
PATIENCE_S = 2.0
"""So long that is waited for; a script that never ceases to write is packed as it is."""


def pack(folder: Path) -> Tensor:
    """All files of `folder` as bytes, (size,) of uint8."""
    _wait_until_quiet(folder)
    with tempfile.NamedTemporaryFile(prefix="tune-app-folder-") as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            archive.add(folder, arcname=".")
        file.flush()
        # Mapped, for a folder may be larger than the memory; the file is gone when the tensor is.
        return torch.from_file(file.name, size=os.path.getsize(file.name), dtype=torch.uint8)


def unpack(packed: Tensor, folder: Path) -> None:
    """Write the files that `pack` took to `folder`."""
    with tempfile.TemporaryFile(prefix="tune-app-folder-") as file:
        packed.cpu().numpy().tofile(file)
        file.seek(0)
        with tarfile.open(fileobj=file) as archive:
            archive.extractall(folder, filter="data")


def _wait_until_quiet(folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and time.time() - _last_written(folder) < QUIET_S:
        time.sleep(QUIET_S / 4)


def _last_written(folder: Path) -> float:
    found = 0.0
    for path in [folder, *folder.rglob("*")]:
        try:
            found = max(found, path.stat().st_mtime)
        except FileNotFoundError:  # put in place of another one meanwhile
            continue
    return found
