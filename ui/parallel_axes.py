"""Parallel coordinates that report dragged ranges and clicked lines to the page; Streamlit's charts report neither.

Drawn by the plotly.js of the Python package, which a separate component sends to the browser once a session.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import streamlit as st
from figure_tools import OnTrial
from plotly.offline import get_plotlyjs

from tune_app.results.plots.parallel import CONTINUOUS

SCRIPT = Path(__file__).with_name("parallel_axes.js").read_text(encoding="utf-8")
PLACE = """
<div class="axes-frame">
  <div class="axes" tabindex="0"></div>
  <svg class="axes-mark"><polyline></polyline></svg>
  <div class="axes-tip" role="status" hidden></div>
</div>
"""
STYLE = """
.axes .axis .domain { stroke: currentColor; opacity: 0.5; }
.axes .axis .tick line { display: none; }
.axes-frame { position: relative; }
.axes-mark { position: absolute; inset: 0; width: 100%; height: 100%; pointer-events: none; }
.axes-mark polyline { fill: none; stroke: currentColor; stroke-width: 2.5; }
.axes-tip {
  position: absolute; z-index: 2; pointer-events: none; white-space: pre; font-size: 0.8rem; padding: 0.3rem 0.5rem;
  background: var(--st-background-color); color: var(--st-text-color);
  border: 1px solid var(--st-border-color); border-radius: 0.25rem;
}
"""
HEIGHT = 360
ZERO_WIDTH = "\u200b"
GRAIN = 100
"""Places along a continuous axis that the end of a range snaps to."""

Ranges = dict[str, tuple[float, float]]


@st.cache_resource
def _plotly_js() -> str:
    return f"{get_plotlyjs()}\nexport default () => {{}};"


def axis_ranges(study: str) -> Ranges:
    """The current ranges along the axes, by the axes' labels."""
    ranges: Ranges = st.session_state.get(f"{study}-axis-ranges", {})
    return ranges


def set_axis_ranges(study: str, ranges: Ranges) -> None:
    """Set the ranges, none for ``{}``; call it before the axes are drawn."""
    st.session_state[f"{study}-axis-ranges"] = dict(ranges)
    # Drawn as a new component, because a component keeps what it last sent.
    st.session_state[f"{study}-axes-turn"] = st.session_state.get(f"{study}-axes-turn", 0) + 1


def _refine(axis: Any) -> None:
    """Let ranges along a continuous axis with labels end anywhere: plotly snaps them to the labels.

    Each place gets its own invisible label, because plotly finds places by their labels.
    """
    if axis.name != CONTINUOUS or axis.tickvals is None:
        return
    low, high = axis.range
    places = dict(zip(map(float, axis.tickvals), axis.ticktext, strict=True))
    unseen = {low + (high - low) * step / GRAIN: ZERO_WIDTH * (step + 1) for step in range(GRAIN + 1)}
    ticks = sorted({**unseen, **places}.items())
    axis.update(tickvals=[at for at, _ in ticks], ticktext=[text for _, text in ticks])


def show_axes(
    study: str, figure: go.Figure, lines: Sequence[tuple[int, str]], on_trial: OnTrial | None = None
) -> str | None:
    """Draw the figure of `plots.parallel_coordinates`; `axis_ranges` returns the ranges dragged along its axes.

    Args:
        lines: the trial of each line, in their order, and what its tooltip says.
        on_trial: called with the number of the trial whose line is clicked.

    Returns:
        The key of the container that holds the chart; None if there is nothing to draw.
    """
    if not figure.data:
        st.info("No trial has an objective yet.")
        return None
    key = f"{study}-axes-{st.session_state.setdefault(f'{study}-axes-turn', 0)}"

    def keep() -> None:
        ranges = st.session_state[key].get("ranges") or {}
        st.session_state[f"{study}-axis-ranges"] = {name: (low, high) for name, (low, high) in ranges.items()}

    def tell() -> None:
        number = st.session_state[key].get("trial")
        if number is not None and on_trial is not None:
            on_trial(int(number))

    library = st.components.v2.component("plotly_library", js=_plotly_js())
    axes = st.components.v2.component("parallel_axes", html=PLACE, css=STYLE, js=SCRIPT, isolate_styles=False)
    with st.container(height=1, border=False):
        library(key="plotly-library")
    for axis in figure.data[0].dimensions:
        _refine(axis)
    figure.update_layout(height=HEIGHT, title=None, margin={"l": 70, "r": 30, "t": 76, "b": 20})
    chart = f"{study}-parallel-chart"
    with st.container(key=chart):
        axes(
            key=key,
            data={
                "figure": json.loads(figure.to_json()),
                "ranges": axis_ranges(study),
                "lines": {"trials": [number for number, _ in lines], "texts": [text for _, text in lines]},
                "clicks": on_trial is not None,
            },
            on_ranges_change=keep,
            on_trial_change=tell,
        )
    left, right = st.columns([4, 1], vertical_alignment="center")
    more = " A click on a line opens its trial." if on_trial is not None else ""
    left.caption(
        f"Drag along an axis to select the trials that pass there, or drag an axis by its name to move it.{more}"
    )
    if axis_ranges(study) and right.button("Clear the ranges", width="stretch"):
        set_axis_ranges(study, {})
        st.rerun()
    return chart
