"""Folders that ship with the package but are outside it: search spaces, profiles, the page, the starter files."""

from __future__ import annotations

from pathlib import Path

from tune_app.errors import WorkFailed

PARENT = Path(__file__).parents[1]


def shipped_folder(name: str) -> Path:
    """The folder `name` of the repository; a wheel has it as the package ``tune_app_NAME``.

    Raises:
        WorkFailed: it is in neither place.
    """
    for folder in (PARENT / f"tune_app_{name}", PARENT / name):
        if folder.is_dir():
            return folder
    raise WorkFailed(
        f"tune-app must be installed with its folder `{name}`, but the folder is missing",
        where=str(PARENT),
        hint="reinstall tune-app",
    )
