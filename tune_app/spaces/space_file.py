"""Search space files by name: the user's own, or those that ship with the package."""

from __future__ import annotations

import os
from pathlib import Path

from tune_app.errors import NotFound, nearest
from tune_app.naming import NAME_PATTERN
from tune_app.shipped import shipped_folder

SEARCH_SPACES = "search_spaces"


def default_spaces_folder() -> Path:
    """``TUNE_APP_SEARCH_SPACES``, else ``./search_spaces`` if it exists, else the folder shipped with the package."""
    chosen = os.environ.get("TUNE_APP_SEARCH_SPACES")
    if chosen:
        return Path(chosen)
    own = Path(SEARCH_SPACES)
    return own if own.is_dir() else shipped_folder(SEARCH_SPACES)


def space_names() -> list[str]:
    """Names that `find_space` knows, sorted."""
    return sorted(_by_name())


def find_space(text: str) -> Path:
    """The file that `text` names: a path, or a bare name such as ``digits_cnn``.

    A path takes precedence over a name, and the user's own folder over the shipped one.

    Raises:
        NotFound: `text` looks like a name, and no search space has it.
    """
    path = Path(text)
    if path.exists() or not NAME_PATTERN.fullmatch(text):
        return path
    known = _by_name()
    if text not in known:
        raise NotFound(f"no file or search space is named `{text}`", hint=nearest(text, known, limit=len(known)))
    return known[text]


def _by_name() -> dict[str, Path]:
    folders = (shipped_folder(SEARCH_SPACES), default_spaces_folder())
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml")) if path.is_file()}
