"""How the page writes values."""

from __future__ import annotations

import re
from typing import Any

from tune_app.readable import shown
from tune_app.spaces.objective import figure_text


def number(value: Any) -> str:
    """A value with four significant digits; a dash if there is none."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else shown(value, absent="–")


def measured(name: str, value: Any) -> str:
    """A metric's value as people expect to see it."""
    return figure_text(f"metric/{name}", value)


def escaped(text: object) -> str:
    """Text escaped so that Markdown shows it unchanged."""
    return re.sub(r"([\\`*_{}\[\]<>$:|~#])", r"\\\1", str(text))


def sentence(message: object) -> str:
    """One of our messages as Markdown: only its backticks are markup, and its line breaks stay."""
    # In code, too, a bracket would end the color around it.
    pieces = (re.split(r"(`[^`\[\]]+`)", line.strip()) for line in str(message).splitlines())
    return "  \n".join("".join(p if n % 2 else escaped(p) for n, p in enumerate(line)) for line in pieces)
