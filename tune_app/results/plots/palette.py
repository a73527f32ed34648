"""The colors and symbols of figures: distinguishable for the color-blind, and visible on a light and a dark page.

Every color of a mark or a line has a contrast of at least 3:1 with both backgrounds (WCAG 2.2, 1.4.11), which leaves
little room for lightness: it must be near the middle. `tests/results/test_palette.py` measures that, and how far
apart the colors are with protanopia, deuteranopia and tritanopia (Machado, Oliveira and Fernandes 2009).
"""

from __future__ import annotations

from typing import Any

from plotly.colors import sample_colorscale

BLUE, VERMILION = "#0072b2", "#d55e00"
"""Of the palette of Okabe and Ito (2008)."""
COLORS = {
    "COMPLETED": BLUE,
    "PRUNED": "#8a8f98",
    "FAILED": VERMILION,
    "CANCELLED": "#a045ea",
    "RUNNING": "#19a764",
}
"""Colors of the states; each also has a symbol."""
SYMBOLS = {"COMPLETED": "circle", "PRUNED": "line-ew-open", "FAILED": "x", "CANCELLED": "square", "RUNNING": "diamond"}
CROWD = 200
"""Number of points above which smaller ones show more."""
SERIES = ("#c90438", "#9016fa", "#d77b05", "#2ca682", "#536785", "#ce60f0", "#9988c5")
"""Colors of lines side by side, such as the six health scores or six compared trials."""
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "12px,3px")
MARKS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon")
"""Dashes and symbols of the same lines, for people who see no colors at all."""
RANKS: list[tuple[float, str]] = [(0.0, BLUE), (0.5, "#8a8298"), (1.0, VERMILION)]
"""From the best to the worst, for lines and points, which must be visible on both pages."""
SCALE = "Viridis"
"""From the worst to the best, for areas, which adjoin and have their own text."""
TIMES = sample_colorscale([[0.0, "#6593b8"], [1.0, "#1068a0"]], [0.0, 0.5, 1.0])
"""From the first to the latest trial."""


def state_marker(state: str, count: int) -> dict[str, Any]:
    """How plotly marks `count` trials of this state."""
    # Open symbols are lines; filled ones need no outline.
    line = {"width": 2 if SYMBOLS[state].endswith("-open") else 0}
    return {"color": COLORS[state], "symbol": SYMBOLS[state], "size": 9 if count < CROWD else 6, "line": line}
