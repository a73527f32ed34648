"""Values as people read them."""

from __future__ import annotations

from typing import Any


def is_absent(value: Any) -> bool:
    """Whether there is no value: None, NaN, or pandas' NaT and NA (which has no truth value)."""
    return value is None or type(value).__name__ == "NAType" or bool(value != value)


def shown(value: Any, absent: str = "") -> str:
    """Four significant digits of a number with a fraction; `absent` where there is no value."""
    if is_absent(value):
        return absent
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def in_words(name: str) -> str:
    """What a variable, a metric or a figure is called: ``neuron_utilisation`` as "Neuron utilisation"."""
    spaced = name.replace("_", " ")
    return spaced[:1].upper() + spaced[1:]
