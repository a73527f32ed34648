"""How a process of ours begins and ends: what it imports stays, and is neither searched for garbage nor taken apart."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Callable
from typing import NoReturn

USUALLY = gc.get_threshold()
RARELY = 200_000
"""So many new objects make Python look for garbage while a process imports."""


def run_and_leave(main: Callable[[], int]) -> NoReturn:
    """Run `main` and exit with its code; called before anything heavy is imported.

    Imports make objects that stay: looking through them again and again for garbage takes a fifth of their time, and
    taking torch and Ray apart at the end, object by object, most of a second. So the process ends after all that is
    registered for its end, without the latter.
    """
    gc.set_threshold(RARELY)
    code = 1  # of an error that `main` does not translate

    def leave() -> None:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError:
            return  # Python tells of it, as always
        os._exit(code)

    atexit.register(leave)  # what is registered first runs last
    try:
        code = main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise
    sys.exit(code)


def collect_as_usual() -> None:
    """Look for garbage as Python does, though not among what was imported: a user's code may leave tensors in it."""
    gc.freeze()
    gc.set_threshold(*USUALLY)
