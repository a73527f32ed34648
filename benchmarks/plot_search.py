"""Draw docs/images/search.svg: how good a model each arm of `search.py` has found, and at what cost.

For each task and arm the median over the seeds, divided by the final value of random draws on that task; of these the
median over the tasks, with the quartiles as a band. A sweep without a completed trial counts as infinitely bad, so a
line starts where three quarters of the tasks have one.

    python benchmarks/search.py --curves … --arms random stock before normal > LINES
    python benchmarks/plot_search.py LINES

Needs playwright and Debian's chromium, as docs/make_screenshots.py does.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "search.svg"
SIZE = {"width": 900, "height": 380}
COLORS = {"random": "#56606b", "stock": "#d55e00", "before": "#c28f00", "normal": "#0072b2"}
NAMES = {
    "random": "random draws<br>with ASHA",
    "stock": "OptunaSearch<br>with ASHA",
    "before": "tpe, rungs<br>after a tenth",
    "normal": "auto, normal:<br>our default",
}


def quartiles(lines: Iterable[Mapping[str, Any]]) -> dict[str, list[tuple[int, float, float, float]]]:
    """For each arm the full trainings spent, and the lower quartile, median and upper quartile over the tasks.

    Args:
        lines: of `search.py`, those of the arm `random` among them.
    """
    runs: dict[tuple[str, str, int], list[float]] = {}
    for line in lines:
        for look, value in line.get("best", {}).items():
            runs.setdefault((line["arm"], line["task"], int(look)), []).append(np.inf if value is None else value)
    medians = {key: statistics.median(values) for key, values in runs.items()}
    looks = sorted({look for _, _, look in medians})
    ends = {task: value for (arm, task, look), value in medians.items() if arm == "random" and look == looks[-1]}
    found: dict[str, list[tuple[int, float, float, float]]] = {}
    for arm in dict.fromkeys(arm for arm, _, _ in medians):
        for look in looks:
            ratios = [medians[arm, task, look] / end for task, end in ends.items()]
            low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75), method="inverted_cdf")
            if np.isfinite(high):
                found.setdefault(arm, []).append((look, float(low), float(middle), float(high)))
    return found


def draw(found: Mapping[str, list[tuple[int, float, float, float]]], tasks: int) -> go.Figure:
    """A panel for each arm, with a line and a band."""
    figure = make_subplots(1, len(found), shared_yaxes=True, subplot_titles=[NAMES[arm] for arm in found])
    for column, (arm, points) in enumerate(found.items(), 1):
        spent, low, middle, high = zip(*points, strict=True)
        color, place = COLORS[arm], {"row": 1, "col": column}
        band = {"x": [*spent, *reversed(spent)], "y": [*high, *reversed(low)], "mode": "lines", "line_width": 0}
        figure.add_scatter(**band, fill="toself", fillcolor=color, opacity=0.25, **place)
        figure.add_scatter(x=spent, y=middle, line_color=color, mode="lines+markers", **place)
        figure.update_xaxes(tickvals=spent, title="full trainings spent", **place)
    figure.add_hline(y=1, line={"dash": "dot", "width": 1})
    figure.update_yaxes(title=f"true final value over that of<br>random draws, {tasks} tasks", row=1, col=1)
    figure.update_layout(
        template="plotly_white",
        font_family="sans-serif",
        margin={"l": 80, "r": 20, "t": 60, "b": 60},
        showlegend=False,
    )
    figure.update_annotations(font_size=13)
    return figure


def to_svg(figure: go.Figure) -> str:
    """The figure as plotly draws it in a browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.set_content(figure.to_html(include_plotlyjs=True))
        address: str = page.evaluate(
            "size => Plotly.toImage(document.querySelector('.js-plotly-plot'), {format: 'svg', ...size})", SIZE
        )
        browser.close()
    return unquote(address.partition(",")[2])


def main() -> None:
    """Read the lines, write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lines", type=Path, help="the output of search.py")
    lines = [json.loads(line) for line in parser.parse_args().lines.read_text(encoding="utf-8").splitlines()]
    tasks = len({line["task"] for line in lines if "task" in line})
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(to_svg(draw(quartiles(lines), tasks)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
