"""Temporary changes to the environment of this process."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def changed_environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables temporarily; other changes in the meantime stay."""
    with restored_environment(*values):
        os.environ.update(values)
        yield


@contextmanager
def restored_environment(*names: str) -> Iterator[None]:
    """Restore these variables afterwards, no matter who changes them."""
    former = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
