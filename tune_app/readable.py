"""Values as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def writable(value: Any) -> Any:
    """`value` with all its strings as valid Unicode, including in mappings and lists.

    A file name that is not UTF-8 reaches Python with half surrogate pairs, which UTF-8 cannot encode; they become
    escapes, such as ``caf\\udce9``.
    """
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {writable(key): writable(held) for key, held in value.items()}
    if isinstance(value, (list, tuple)):
        return [writable(held) for held in value]
    return value


def is_absent(value: Any) -> bool:
    """Whether there is no value: None, NaN, or pandas' NaT and NA (which has no truth value)."""
    return value is None or type(value).__name__ == "NAType" or bool(value != value)


def shown(value: Any, absent: str = "") -> str:
    """Four significant digits of a number with a fraction; `absent` if there is no value."""
    if type(value) is float:  # the most common case in a table; `is_absent` is slower than the rest
        return f"{value:.4g}" if value == value else absent
    if is_absent(value):
        return absent
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def counted(count: int, what: str) -> str:
    """A count with its noun: ``1 epoch``, ``3 epochs``."""
    return f"{count:,} {what if count == 1 else what + 's'}"


def in_words(name: str) -> str:
    """The display name of a variable, a metric or a score: ``neuron_utilization`` as "Neuron utilization"."""
    spaced = name.replace("_", " ")
    return spaced[:1].upper() + spaced[1:]
