"""How the page writes values."""

from __future__ import annotations

import math
from typing import Any

from tune_app.readable import shown


def number(value: Any) -> str:
    """A value with four significant digits; a dash where there is none."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else shown(value, absent="–")


def measured(name: str, value: Any) -> str:
    """A metric's value as people expect it: a share of the whole as a percentage, else as a number."""
    share = name.rsplit("/")[-1].endswith(("accuracy", "coverage")) and isinstance(value, float)
    return f"{100 * value:.4g} %" if share and math.isfinite(value) else number(value)


def percent(share: float | None) -> str:
    """A share of 0..1 as a percentage; a dash where there is none."""
    return "–" if share is None or math.isnan(share) else f"{share:.1%}"
