"""A network in three dimensions: on the page as a component, and as one HTML file that needs nothing else."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import streamlit as st

HERE = Path(__file__).parent
LIBRARY = (HERE / "vendor" / "three.js").read_text(encoding="utf-8")
SCRIPT = (HERE / "network_scene.js").read_text(encoding="utf-8")
STYLE = (HERE / "network_scene.css").read_text(encoding="utf-8")
MARKUP = '<div class="network"></div>'
MOUNT = """
export default ({ data, parentElement }) => drawNetwork(parentElement.querySelector(".network"), data);
"""

Layers = list[dict[str, Any]]


def merged(layers: Layers, statistics: Layers) -> Layers:
    """The layers with their statistics under the key ``seen``; None if there are none."""
    by_name = {layer["name"]: layer for layer in statistics}
    return [{**layer, "seen": by_name.get(layer["name"])} for layer in layers]


def show_scene(layers: Layers, title: str, key: str) -> None:
    """Draw the network; details of a clicked layer appear next to it."""
    scene = st.components.v2.component("network_scene", html=MARKUP, css=STYLE, js=f"{LIBRARY}\n{SCRIPT}\n{MOUNT}")
    scene(key=key, data={"title": title, "layers": layers})


def scene_file(layers: Layers, title: str) -> str:
    """The network as an HTML document with its script and data inside."""
    # "</script>" in a name would end the script.
    data = json.dumps({"title": title, "layers": layers}).replace("<", "\\u003c")
    words = html.escape(title)
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{words}</title>
<style>{STYLE}
:root {{ color-scheme: light dark; background: Canvas; color: CanvasText; }}
body {{ margin: 1.5rem; font-family: system-ui, sans-serif; }}
</style></head>
<body><h1>{words}</h1>{MARKUP}
<script>{LIBRARY}</script>
<script>{SCRIPT}</script>
<script>drawNetwork(document.querySelector(".network"), {data});</script>
</body></html>
"""
