"""Fast start and exit of our processes: imports stay loaded, without garbage collection or teardown."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Callable
from typing import NoReturn

USUALLY = gc.get_threshold()
RARELY = 200_000
"""Garbage collection threshold during imports."""


def run_and_leave(main: Callable[[], int]) -> NoReturn:
    """Run `main` and exit with its code; call it before heavy imports.

    Imported objects stay: repeatedly scanning them for garbage takes 20% of the import time, and tearing down torch and
    Ray at exit most of a second. So the process runs its exit handlers and skips the teardown.
    """
    gc.set_threshold(RARELY)
    code = 1  # of an error that `main` does not handle

    def leave() -> None:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError:
            return  # Python reports it as usual
        os._exit(code)

    atexit.register(leave)  # registered first, runs last
    try:
        code = main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise
    sys.exit(code)


def collect_as_usual() -> None:
    """Collect garbage as usual, except among imported objects: a user's code may leave tensors in cycles."""
    gc.freeze()
    gc.set_threshold(*USUALLY)
