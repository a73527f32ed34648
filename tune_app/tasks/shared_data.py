"""Data that trials share: loaded once, whoever asks for it first.

Here each process keeps what it loaded. Where trials train on a cluster, whoever starts their processes has it loaded
once for all of them, see `tune_app.ray_backend.data_sharing`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

Load = Callable[..., Any]
Share = Callable[[str, Load, tuple[Any, ...]], Any]
"""Gives what a function loads with these arguments, kept under a key."""


class NotShareable(Exception):
    """What trials would share is not told by a function's name and its arguments."""


_kept: dict[str, Any] = {}
_share: Share | None = None


def share_with(share: Share) -> None:
    """Have `share` load what is shared from now on, in this process."""
    global _share
    _share = share


def shared(load: Load, arguments: tuple[Any, ...]) -> Any:
    """What ``load(*arguments)`` gives, loaded by the first who asks.

    Raises:
        NotShareable: an argument is no plain value, or `load` reads what belongs to the function around it, which its
            name does not tell.
    """
    key = _key(load, arguments)
    if _share is not None:
        return _share(key, load, arguments)
    if key not in _kept:
        _kept[key] = load(*arguments)
    return _kept[key]


def _key(load: Load, arguments: tuple[Any, ...]) -> str:
    """The same for the same function and values, in every process."""
    if getattr(load, "__closure__", None) or isinstance(load, functools.partial) or not hasattr(load, "__qualname__"):
        name = getattr(load, "__qualname__", load)
        raise NotShareable(f"must be a function that gets all it needs as arguments, but got {name}")
    for value in arguments:
        if not _is_plain(value):
            raise NotShareable(f"must get plain values as arguments, but got {value!r:.100}")
    return f"{load.__module__}:{load.__qualname__}:{load.__code__.co_firstlineno}{arguments!r}"


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(one) for key, one in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))
