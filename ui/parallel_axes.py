"""Parallel coordinates whose dragged ranges come back to the page, which Streamlit's own charts do not tell.

Drawn by the plotly.js of the Python package, which a component of its own hands to the browser once a session.
"""

from __future__ import annotations

import json
from pathlib import Path

import plotly.graph_objects as go
import streamlit as st
from plotly.offline import get_plotlyjs

SCRIPT = Path(__file__).with_name("parallel_axes.js").read_text(encoding="utf-8")
STYLE = ".axes .axis .domain, .axes .axis .tick line { stroke: currentColor; opacity: 0.5; }"
HEIGHT = 360

Ranges = dict[str, tuple[float, float]]


@st.cache_resource
def _plotly_js() -> str:
    return f"{get_plotlyjs()}\nexport default () => {{}};"


def axis_ranges(study: str) -> Ranges:
    """The ranges that are kept along the axes now, by the axes' labels."""
    ranges: Ranges = st.session_state.get(f"{study}-axis-ranges", {})
    return ranges


def show_axes(study: str, figure: go.Figure) -> None:
    """Draw the figure of `plots.parallel_coordinates`; `axis_ranges` gives what is dragged along its axes."""
    if not figure.data:
        st.info("No trial has an objective yet.")
        return
    turn = st.session_state.setdefault(f"{study}-axes-turn", 0)
    key = f"{study}-axes-{turn}"

    def keep() -> None:
        ranges = st.session_state[key].get("ranges") or {}
        st.session_state[f"{study}-axis-ranges"] = {name: (low, high) for name, (low, high) in ranges.items()}

    library = st.components.v2.component("plotly_library", js=_plotly_js())
    axes = st.components.v2.component(
        "parallel_axes", html='<div class="axes" tabindex="0"></div>', css=STYLE, js=SCRIPT, isolate_styles=False
    )
    with st.container(height=1, border=False):
        library(key="plotly-library")
    figure.update_layout(height=HEIGHT, title=None, margin={"l": 70, "r": 30, "t": 76, "b": 20})
    axes(
        key=key,
        data={"figure": json.loads(figure.to_json()), "ranges": axis_ranges(study)},
        on_ranges_change=keep,
    )
    left, right = st.columns([4, 1], vertical_alignment="center")
    left.caption("Drag along an axis to keep the trials that pass there; the list below follows.")
    if axis_ranges(study) and right.button("Clear the ranges", width="stretch"):
        st.session_state[f"{study}-axis-ranges"] = {}
        st.session_state[f"{study}-axes-turn"] = turn + 1  # drawn anew: a component keeps what it last sent
        st.rerun()
