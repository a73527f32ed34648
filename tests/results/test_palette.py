"""The colors of figures: visible on both backgrounds, and distinguishable with color blindness."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from plotly.colors import hex_to_rgb, unlabel_rgb

from tune_app.results import plots
from tune_app.results.plots.palette import COLORS, DASHES, MARKS, RANKS, SERIES, SYMBOLS, TIMES
from tune_app.training.health import SCORES

BACKGROUNDS = {"light": "#ffffff", "dark": "#0e1117"}
"""The backgrounds of Streamlit's two themes."""
VISIONS = {
    "normal": np.eye(3),
    # Machado, Oliveira, and Fernandes (2009), severity 1.0, for linear RGB.
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
LEAST_CONTRAST = 3.0
"""WCAG 2.2, 1.4.11."""
LEAST_DISTANCE = 19.0
"""In CIELAB; a difference of 2.3 is just noticeable side by side (Mahy, Van Eycken, and Oosterlinck 1994)."""


def linear(color: str) -> Any:
    values = np.array(hex_to_rgb(color) if color.startswith("#") else unlabel_rgb(color)) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def luminance(color: str) -> float:
    return float(linear(color) @ TO_XYZ[1])


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def lab(color: str, vision: str) -> Any:
    seen = np.clip(VISIONS[vision] @ linear(color), 0, 1)
    ratios = TO_XYZ @ seen / TO_XYZ.sum(1)
    x, y, z = np.where(ratios > (6 / 29) ** 3, np.cbrt(ratios), ratios / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def nearest(colors: Any, vision: str) -> float:
    seen = [lab(color, vision) for color in colors]
    return min(float(np.linalg.norm(one - other)) for one, other in itertools.combinations(seen, 2))


def test_the_simulation_removes_the_right_contrast() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    red_and_green = ("#d04000", "#808000")
    assert nearest(red_and_green, "deuteranopia") < nearest(red_and_green, "normal") / 3


@pytest.mark.parametrize("theme", BACKGROUNDS)
def test_every_color_is_visible_on_the_background(theme: str) -> None:
    middle = [color for _, color in RANKS]
    for color in [*COLORS.values(), *SERIES, *middle, *TIMES]:
        assert contrast(color, BACKGROUNDS[theme]) >= LEAST_CONTRAST, color


@pytest.mark.parametrize("vision", VISIONS)
def test_states_and_lines_are_distinguishable(vision: str) -> None:
    assert nearest(COLORS.values(), vision) > LEAST_DISTANCE
    assert nearest(SERIES, vision) > LEAST_DISTANCE
    assert nearest((RANKS[0][1], RANKS[1][1], RANKS[2][1]), vision) > LEAST_DISTANCE


def test_color_is_never_the_only_difference() -> None:
    assert len(set(SYMBOLS.values())) == len(SYMBOLS) == len(COLORS)
    assert len(set(zip(DASHES, MARKS, strict=True))) >= 6


def test_the_health_scores_differ_in_color_and_shape() -> None:
    rows = pd.DataFrame({"epoch": [1, 2], **{f"health/{name}": [0.5, 0.6] for name in SCORES}})
    lines = plots.health_over_epochs(rows).data
    assert len(lines) == 7
    assert len({line.line.color for line in lines}) == 7
    assert len({(line.line.dash, line.marker.symbol, line.line.width) for line in lines}) == 7
