"""Where Python looks for modules: the same order in every process that imports a user's code."""

from __future__ import annotations

import os
import sys


def put_last(folder: str) -> None:
    """Have `folder` searched after the standard library and the installed packages, wherever it stood before.

    So nothing in it hides a module of theirs, whose own imports would break. ``python -m`` and Ray put the current
    folder in front, a console script leaves it away: without this, what one process imports another would not.
    Processes of ours that import much before they come to this are started with ``python -P``.
    """
    kept = [path for path in sys.path if os.path.abspath(path or os.getcwd()) != os.path.abspath(folder)]
    sys.path[:] = [*kept, folder]
