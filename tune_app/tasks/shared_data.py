"""Data shared by trials: loaded once, on first use.

Here, each process keeps what it loaded. If trials train on a cluster, it is loaded once for all processes, see
`tune_app.ray_backend.data_sharing`.
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
"""Returns what a function loads with these arguments, cached under a key."""


class NotShareable(Exception):
    """A function's name and arguments do not determine what trials would share."""


_kept: dict[str, Any] = {}
_share: Share | None = None


def share_with(share: Share) -> None:
    """From now on, use `share` to load shared data in this process."""
    global _share
    _share = share


def shared(load: Load, arguments: tuple[Any, ...]) -> Any:
    """The result of ``load(*arguments)``, loaded on first use.

    Raises:
        NotShareable: an argument is not a plain value, or `load` uses variables of an enclosing function, which its
            name does not identify.
    """
    key = _key(load, arguments)
    if _share is not None:
        return _share(key, load, arguments)
    if key not in _kept:
        _kept[key] = load(*arguments)
    return _kept[key]


def call(load: Load, arguments: tuple[Any, ...]) -> str:
    """The call in words, such as ``train:load_rows(1000)``."""
    told = ", ".join(map(repr, arguments))
    return f"{getattr(load, '__module__', None)}:{getattr(load, '__qualname__', None)}({told})"


def forget_shared() -> None:
    """Forget everything that this process has loaded."""
    _kept.clear()


def _key(load: Load, arguments: tuple[Any, ...]) -> str:
    """A key that is the same for the same function and values in every process."""
    for value in arguments:
        if not _is_plain(value):
            raise NotShareable(f"must get plain values as arguments, but got {value!r:.100}")
    name = f"{getattr(load, '__module__', None)}:{getattr(load, '__qualname__', None)}"
    if not inspect.isfunction(load):  # for example from a compiled module: its name must identify it
        module, _, own = name.partition(":")
        if getattr(sys.modules.get(module), own, None) is not load:
            raise NotShareable(f"must be a named function of a module, but got {load!r:.100}")
        return f"{name}{arguments!r}"
    defaults = (load.__defaults__, load.__kwdefaults__)
    if load.__closure__ or not _is_plain(defaults):
        raise NotShareable(f"must get everything it needs as arguments, but got {name}")
    told = f"{_told(load.__code__)}{defaults}"
    return f"{name}:{hashlib.sha256(told.encode()).hexdigest()}{arguments!r}"


def _told(code: CodeType) -> str:
    """What a function does, as a string; the order of a set is another one in every process."""
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
