"""A figure with its tools: its downloads as picture and data, and the trial that was clicked in it.

A selection in Streamlit's own charts stays until it is cleared, so a second click on the same point would have no
effect, and lines cannot be selected at all. Our component listens to the chart instead; zoom and pan still work.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

SCRIPT = Path(__file__).with_name("figure_tools.js").read_text(encoding="utf-8")
PICTURES = """
<div class="pictures">
  <button data-format="png" title="For slides and messages">PNG</button>
  <button data-format="svg" title="For papers: lines stay sharp, text stays editable">SVG</button>
</div>
"""
STYLE = """
.pictures { display: flex; gap: 0.5rem; }
.pictures button {
  flex: 1; min-height: 2.5rem; cursor: pointer; font: inherit; color: inherit; background: transparent;
  border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius);
}
.pictures button:hover, .pictures button:focus-visible { border-color: var(--st-primary-color); }
"""
OnTrial = Callable[[int], None]


def show_chart(
    chart: str,
    name: str,
    figure: go.Figure,
    alt: str,
    data: Callable[[], pd.DataFrame],
    *,
    place: st.delta_generator.DeltaGenerator | None = None,
    tools: st.delta_generator.DeltaGenerator | None = None,
    key: str | None = None,
) -> None:
    """A figure and its downloads, see `show_downloads`.

    Args:
        place: where the figure goes; None: here.
        tools: where its downloads go; None: below the figure, at the right.
        key: for a figure that is redrawn while it is read, so that the browser changes it instead of replacing it.
    """
    here = place or st
    with here.container(key=chart):
        st.plotly_chart(figure, alt=alt, config={"displaylogo": False}, key=key)
    with tools or here.container(horizontal=True, horizontal_alignment="right"):
        show_downloads(chart, name, data)


def follow_clicks(chart: str, on_trial: OnTrial) -> None:
    """Call `on_trial` with the number of the trial whose point is clicked in the chart of this container's key.

    The number is the first element of the point's ``customdata``.
    """
    key = f"{chart}-clicks"

    def tell() -> None:
        number = st.session_state[key].get("trial")
        if number is not None:
            on_trial(int(number))

    listener = st.components.v2.component("figure_clicks", html="<span></span>", js=SCRIPT)
    with st.container(height=1, border=False):
        listener(key=key, data={"chart": chart, "clicks": True}, on_trial_change=tell)


def show_downloads(chart: str, name: str, data: Callable[[], pd.DataFrame]) -> None:
    """A popover with the chart as PNG and SVG, saved by the browser, and its data as CSV, written on request.

    Args:
        chart: the key of the container that holds it.
        name: of the files, without extension.
        data: what it shows.
    """
    with st.popover("", icon=":material/download:", help="Save this figure as a picture, or its data"):
        pictures = st.components.v2.component("figure_pictures", html=PICTURES, css=STYLE, js=SCRIPT)
        pictures(key=f"{chart}-pictures", data={"chart": chart, "name": name, "clicks": False})
        st.download_button(
            "Data (CSV)",
            lambda: data().to_csv(index=False).encode(),
            f"{name}.csv",
            "text/csv",
            icon=":material/table_view:",
            on_click="ignore",
            width="stretch",
            key=f"{chart}-data",
        )
