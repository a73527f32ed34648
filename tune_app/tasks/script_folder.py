"""A script's trial folder in its checkpoint: all files in one tensor."""

from __future__ import annotations

import contextlib
import os
import tarfile
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor

QUIET_S = 0.2
"""A folder is packed when nothing has been written to it for this long, to avoid incomplete files."""
PATIENCE_S = 2.0
"""Maximum wait for that; the folder of a script that never stops writing is packed anyway."""

Stamps = dict[Path, tuple[int, int]]
"""When each file was written last, and its size."""


def pack(folder: Path) -> Tensor:
    """All files of `folder` as bytes, (size,) of uint8."""
    deadline = time.monotonic() + PATIENCE_S
    with tempfile.NamedTemporaryFile(prefix="tune-app-folder-") as file:
        while True:
            quiet = _wait_until_quiet(folder, deadline)
            file.seek(0)
            file.truncate()
            try:
                with tarfile.open(fileobj=file, mode="w") as archive:
                    archive.add(folder, arcname=".")
            except OSError:  # a file was removed or cut meanwhile
                if time.monotonic() > deadline:
                    raise
                continue
            if _stamps(folder) == quiet or time.monotonic() > deadline:
                break
        file.flush()
        # Memory-mapped, because a folder may be larger than the memory; the file is removed with the tensor.
        return torch.from_file(file.name, size=os.path.getsize(file.name), dtype=torch.uint8)


def unpack(packed: Tensor, folder: Path) -> None:
    """Write the files that `pack` took to `folder`."""
    with tempfile.TemporaryFile(prefix="tune-app-folder-") as file:
        packed.cpu().numpy().tofile(file)
        file.seek(0)
        with tarfile.open(fileobj=file) as archive:
            _extract(archive, folder)


def _extract(archive: tarfile.TarFile, folder: Path) -> None:
    """Extract the archive to `folder`, and nothing outside it.

    Raises:
        tarfile.TarError: a name or a link points outside the folder, or a member is not a file, folder or link.
    """
    if hasattr(tarfile, "data_filter"):
        archive.extractall(folder, filter="data")
        return
    for member in archive.getmembers():  # Python before 3.11.4, such as Debian 12's, has no filters
        place = os.path.join(folder, member.name)
        links_to = os.path.dirname(place) if member.issym() else folder
        if not (member.isfile() or member.isdir() or member.issym() or member.islnk()):
            raise tarfile.ExtractError(f"`{member.name}` is neither a file, a folder nor a link")
        for path in (place, os.path.join(links_to, member.linkname)):
            if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
                raise tarfile.ExtractError(f"`{member.name}` points outside the folder")
    archive.extractall(folder)


def _wait_until_quiet(folder: Path, deadline: float) -> Stamps:
    """The stamps of the files once they have not changed for `QUIET_S`, or at the deadline.

    Always waits, because a script may save just after its report.
    """
    while True:
        before = _stamps(folder)
        time.sleep(QUIET_S)
        after = _stamps(folder)
        if after == before or time.monotonic() > deadline:
            return after


def _stamps(folder: Path) -> Stamps:
    found: Stamps = {}
    for path in [folder, *folder.rglob("*")]:
        with contextlib.suppress(FileNotFoundError):  # replaced in the meantime
            stat = path.stat()
            found[path] = (stat.st_mtime_ns, stat.st_size)
    return found
