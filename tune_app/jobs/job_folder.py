"""The folder uploaded with a job to a cluster, so that a user's own task and relative paths work there."""

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
"""What is not uploaded, besides the store and the patterns in .gitignore and .rayignore."""


def excludes(folder: Path, store: Folder) -> list[str]:
    """The patterns in git's syntax of files in `folder` that are not uploaded."""
    if isinstance(store, LocalFolder) and store.root != folder and store.root.is_relative_to(folder):
        return [*EXCLUDED, f"/{store.root.relative_to(folder).as_posix()}"]
    return list(EXCLUDED)


def check_size(folder: Path, excluded: list[str]) -> int:
    """How many bytes would be uploaded.

    Raises:
        InputError: more than Ray accepts (500 MB); checked first, instead of packing a home folder for hours.
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
                f"the folder uploaded with a job must be smaller than {packaging.GCS_STORAGE_MAX_SIZE / 1e6:.0f} MB, "
                f"but {folder} is larger, `{largest}` alone {sizes[largest] / 1e6:.0f} MB and counting",
                hint="submit from the folder of your code, or list what the job does not need in .rayignore",
            )

    silent = logging.Logger("packing", logging.CRITICAL)
    try:
        packaging._dir_travel(folder, [packaging._get_excludes(folder, excluded)], add, True, silent)
    except OSError as error:
        raise cannot_read(error.filename or folder, error) from error
    return sum(sizes.values())
