"""The module search path: the same order in every process that imports a user's code."""

from __future__ import annotations

import os
import sys


def put_last(folder: str) -> None:
    """Search `folder` after the standard library and the installed packages, wherever it was before.

    So nothing in it hides one of their modules and breaks their imports. ``python -m`` and Ray put the current folder
    first, and a console script omits it: without this, processes would import different modules. Our processes that
    import a lot before calling this start with ``python -P``.
    """
    kept = [path for path in sys.path if os.path.abspath(path or os.getcwd()) != os.path.abspath(folder)]
    sys.path[:] = [*kept, folder]
