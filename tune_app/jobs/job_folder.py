"""The folder that is sent with a job to a cluster, so that a user's own task and relative paths work there."""

from __future__ import annotations

import logging
from pathlib import Path

from tune_app.errors import InputError
from tune_app.folder import Folder, LocalFolder, cannot_read

EXCLUDED = (
    ".git",
    ".venv",
    "venv",
    "__pycache__",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".hypothesis",
    "*.pyc",
)
"""What is left at home, besides the store and what .gitignore and .rayignore name."""


def excludes(folder: Path, store: Folder) -> list[str]:
    """Patterns of what is not sent of `folder`, as git reads them."""
    if isinstance(store, LocalFolder) and store.root != folder and store.root.is_relative_to(folder):
        return [*EXCLUDED, f"/{store.root.relative_to(folder).as_posix()}"]
    return list(EXCLUDED)


def check_size(folder: Path, excluded: list[str]) -> int:
    """How many bytes would be sent.

    Raises:
        InputError: more than Ray takes (500 MB); found before hours are spent packing a home folder.
    """
    from ray._private.runtime_env import packaging

    sizes: dict[str, int] = {}

    def add(path: Path) -> None:
        if path.is_file():
            top = path.relative_to(folder).parts[0]
            sizes[top] = sizes.get(top, 0) + path.stat().st_size
        if sum(sizes.values()) >= packaging.GCS_STORAGE_MAX_SIZE:
            largest = max(sizes, key=lambda name: sizes[name])
            raise InputError(
                f"the folder that goes with a job must hold less than {packaging.GCS_STORAGE_MAX_SIZE / 1e6:.0f} MB, "
                f"but {folder} holds more, `{largest}` alone {sizes[largest] / 1e6:.0f} MB and counting",
                hint="submit from the folder of your code, or name in .rayignore what the job does not need",
            )

    silent = logging.Logger("packing", logging.CRITICAL)
    try:
        packaging._dir_travel(folder, [packaging._get_excludes(folder, excluded)], add, True, silent)
    except OSError as error:
        raise cannot_read(error.filename or folder, error) from error
    return sum(sizes.values())
