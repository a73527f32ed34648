"""The environment of this process, changed for a while."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def changed_environment(values: Mapping[str, str]) -> Iterator[None]:
    """Give variables these values; afterwards they are as before, and what else changed meanwhile stays."""
    with restored_environment(*values):
        os.environ.update(values)
        yield


@contextmanager
def restored_environment(*names: str) -> Iterator[None]:
    """Whoever changes these variables meanwhile, afterwards they are as before."""
    former = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
