"""Data that trials share: loaded once, whoever asks for it first.

Here each process keeps what it loaded. Where trials train on a cluster, whoever starts their processes has it loaded
once for all of them, see `tune_app.ray_backend.data_sharing`.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable, Mapping
from types import CodeType
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


def forget_shared() -> None:
    """Let go of all that this process has loaded."""
    _kept.clear()


def _key(load: Load, arguments: tuple[Any, ...]) -> str:
    """The same for the same function and values, in every process."""
    for value in arguments:
        if not _is_plain(value):
            raise NotShareable(f"must get plain values as arguments, but got {value!r:.100}")
    name = f"{getattr(load, '__module__', None)}:{getattr(load, '__qualname__', None)}"
    if not inspect.isfunction(load):  # one of a compiled module, say: its name must tell it
        module, _, own = name.partition(":")
        if getattr(sys.modules.get(module), own, None) is not load:
            raise NotShareable(f"must be a function that a module has by its name, but got {load!r:.100}")
        return f"{name}{arguments!r}"
    defaults = (load.__defaults__, load.__kwdefaults__)
    if load.__closure__ or not _is_plain(defaults):
        raise NotShareable(f"must be a function that gets all it needs as arguments, but got {name}")
    told = f"{_told(load.__code__)}{defaults}"
    return f"{name}:{hashlib.sha256(told.encode()).hexdigest()}{arguments!r}"


def _told(code: CodeType) -> str:
    """What a function does, as a text; the order of a set is another one in every process."""
    constants = [
        _told(one) if isinstance(one, CodeType) else sorted(map(repr, one)) if isinstance(one, frozenset) else one
        for one in code.co_consts
    ]
    return f"{code.co_code!r}{code.co_names}{constants}"


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(one) for key, one in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))
