"""Pictures of a study, as plotly figures: for the page, reports and notebooks.

Tables are those of `tune_app.results.review`. A figure without anything to show says so in words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from tune_app.readable import in_words
from tune_app.spaces.objective import AGAINST, is_share, label_of
from tune_app.spaces.section import Objective
from tune_app.spaces.spec import Spec
from tune_app.spaces.variable import Categorical, Int

COLOURS = {
    "COMPLETED": "#2a9d5c",
    "PRUNED": "#8a8f98",
    "FAILED": "#d1495b",
    "CANCELLED": "#c8a415",
    "RUNNING": "#3d7ea6",
}
"""Of the states; told apart also by the usual colour-blind, and each has a symbol of its own beside."""
SYMBOLS = {"COMPLETED": "circle", "PRUNED": "line-ew-open", "FAILED": "x", "CANCELLED": "square", "RUNNING": "diamond"}
SCALE = "Viridis"
LINES = sample_colorscale(SCALE, [0.25, 0.4, 0.55, 0.7, 0.85, 0.95])
"""`SCALE` without its ends, of which thin lines cannot be seen on a dark or on a light page."""
CURVES = 200
"""More learning curves than this cannot be told apart: the best completed and the latest others are drawn."""
MANY = 1000
"""From here on points are drawn by WebGL, and a timeline shows the latest trials only: SVG takes seconds for more."""
DISTINCT = 500
"""Points of one state in the history, which is seen first and drawn anew with every filter: more lie over another."""
FEW = 20
"""Whole numbers up to this many have a tick each; plotly would put some between them."""
GRID = 40
"""Points along each axis of a contour plot."""


def optimisation_history(trials: pd.DataFrame, objective: Objective, log: bool = False) -> go.Figure:
    """The objective of each trial by number, with the best so far; failed trials stand at the lower edge."""
    digits = figure_digits("objective", objective)
    figure = titled_figure("Optimisation history", "Trial", axis_title(label_of(objective)), log_y=log)
    figure.update_xaxes(**whole_numbers(trials["trial"]))
    figure.update_yaxes(tickformat=digits)
    told = trials.loc[trials["objective"].notna() & (trials["state"] != "FAILED"), ["trial", "state", "objective"]]
    for state, rows in told.groupby("state"):
        drawn = _thinned(rows.sort_values("objective"))
        figure.add_scatter(
            mode="markers",
            x=drawn["trial"],
            y=drawn["objective"],
            name=_counted(str(state), drawn, rows),
            marker={"color": COLOURS[str(state)], "symbol": SYMBOLS[str(state)], "size": 9, "line": {"width": 2}},
            hovertemplate=f"trial %{{x}}<br>%{{y:{digits}}}",
        )
    every = trials[trials["state"] == "FAILED"]
    failed = _thinned(every)
    if len(failed):
        if told.empty:  # where they stand is then no figure of theirs
            figure.update_yaxes(showticklabels=False)
        figure.add_scatter(
            mode="markers",
            x=failed["trial"],
            y=[told["objective"].min() if len(told) else 1.0] * len(failed),
            name=_counted("FAILED", failed, every),
            marker={"color": COLOURS["FAILED"], "symbol": SYMBOLS["FAILED"], "size": 10},
            text=failed["failure_kind"].astype(str) + ": " + failed["error"].astype(str).str.slice(0, 120),
            hovertemplate="trial %{x}<br>%{text}",
        )
    completed = told[told["state"] == "COMPLETED"].sort_values("trial")
    if len(completed):
        so_far = (
            completed["objective"].cummin() if objective.direction == "minimize" else completed["objective"].cummax()
        )
        figure.add_scatter(
            x=completed["trial"],
            y=so_far,
            mode="lines",
            line={"shape": "hv", "color": COLOURS["COMPLETED"]},
            name="Best so far",
            hoverinfo="skip",
        )
    return figure if len(trials) else empty_figure(figure, "No trial has ended yet.")


def learning_curves(
    epochs: pd.DataFrame, trials: pd.DataFrame, column: str, log: bool = False, highlight: Sequence[int] = ()
) -> go.Figure:
    """`column` over the epochs of each trial; a pruned one ends where it was stopped, with a mark.

    Args:
        epochs: rows of the study's epochs, with ``metric/…`` and ``health/…`` columns.
        column: which of them, such as ``metric/val_loss``.
        highlight: numbers of trials that stand out.
    """
    digits = figure_digits(column)
    figure = titled_figure("Learning curves", "Epoch", axis_title(column), log_y=log)
    figure.update_yaxes(tickformat=digits)
    figure.update_xaxes(minallowed=0, **whole_numbers(epochs["epoch"]))
    states = dict(zip(trials["trial"], trials["state"], strict=True))
    shown = epochs[epochs[column].notna()] if column in epochs else epochs.head(0)
    numbers = _most_telling(trials, set(shown["trial"]), highlight)
    for number in numbers:
        rows = shown[shown["trial"] == number].sort_values("epoch")
        state = states.get(number, "RUNNING")
        strong = number in highlight
        figure.add_scatter(
            x=rows["epoch"],
            y=rows[column],
            mode="lines+markers" if len(rows) == 1 or strong else "lines",
            line={"color": COLOURS[state], "width": 4 if strong else 1.4},
            opacity=1.0 if strong or (state == "COMPLETED" and not highlight) else 0.45,
            name=f"trial {number}",
            legendgroup=state,
            showlegend=False,
            hovertemplate=f"trial {number} ({state.lower()})<br>epoch %{{x}}<br>%{{y:{digits}}}",
        )
    ends = shown[shown["trial"].isin([n for n in numbers if states.get(n) == "PRUNED"])]
    ends = ends.loc[ends.groupby("trial")["epoch"].idxmax()] if len(ends) else ends
    if len(ends):
        figure.add_scatter(
            x=ends["epoch"],
            y=ends[column],
            mode="markers",
            marker={"symbol": SYMBOLS["PRUNED"], "size": 9, "line": {"width": 2}, "color": COLOURS["PRUNED"]},
            name="Pruned here",
            hoverinfo="skip",
        )
    for state in dict.fromkeys(states.get(n, "RUNNING") for n in numbers):
        line = {"color": COLOURS[state], "width": 3}
        figure.add_scatter(x=[None], y=[None], mode="lines", line=line, name=state.capitalize())
    left_out = shown["trial"].nunique() - len(numbers)
    if left_out:
        figure.update_layout(title=f"Learning curves ({left_out} of {left_out + len(numbers)} trials not drawn)")
    return (
        figure
        if numbers
        else empty_figure(figure, f"No trial has a figure for {_without_family(column).replace('_', ' ')} yet.")
    )


def parallel_coordinates(trials: pd.DataFrame, spec: Spec, names: Sequence[str] | None = None) -> go.Figure:
    """One line per trial with an objective, through its value of each searched variable, or of each of `names`.

    A range dragged along an axis keeps the lines that pass it; `within` gives the trials of such ranges.
    """
    figure = go.Figure()
    figure.update_layout(title="Parallel coordinates", margin={"l": 90, "r": 60, "t": 120, "b": 40})
    rows = trials[trials["objective"].notna()]
    if rows.empty:
        return empty_figure(figure, "No trial has an objective yet.")
    label, digits = axis_title(label_of(spec.objective)), figure_digits("objective", spec.objective)
    dimensions: list[dict[str, Any]] = []
    for name in names or spec.space.searched:
        values = _numbers(spec, name, rows[spec.space.by_name[name].column])
        dimensions.append({"label": name, "values": values, **_ticks(spec, name, values)})
    dimensions.append({"label": label, "values": rows["objective"], "tickformat": digits})
    bar = {"title": label, "tickformat": digits}
    line = {"color": rows["objective"], "colorscale": LINES, "showscale": True, "colorbar": bar}
    figure.add_parcoords(line=line, dimensions=dimensions, labelangle=-20)
    return figure


def within(trials: pd.DataFrame, spec: Spec, ranges: Mapping[str, tuple[float, float]]) -> pd.DataFrame:
    """The trials with an objective whose values lie in all `ranges` along the axes of `parallel_coordinates`.

    An axis is named as it is labelled there, and counts as it does there: a choice by its position, a variable on a log
    scale by its decimal logarithm.
    """
    kept = trials[trials["objective"].notna()]
    for name, (low, high) in ranges.items():
        is_variable = name in spec.space.searched
        values = _numbers(spec, name, kept[spec.space.by_name[name].column]) if is_variable else kept["objective"]
        kept = kept[values.between(low, high)]
    return kept


def importances(shares: Mapping[str, float]) -> go.Figure:
    """What `tune_app.results.importance.importance` found, the largest at the top."""
    figure = titled_figure("What mattered", "Share of the objective's variance", "")
    names = list(shares)[::-1]
    figure.add_bar(
        x=[shares[name] for name in names],
        y=names,
        orientation="h",
        marker={"color": COLOURS["RUNNING"]},
        hovertemplate="%{y}: %{x:.1%}<extra></extra>",
    )
    figure.update_xaxes(tickformat=".0%")
    figure.update_layout(height=max(260, 60 + 26 * len(names)))
    return figure


def slice_plot(trials: pd.DataFrame, spec: Spec, name: str, log: bool = False) -> go.Figure:
    """The objective over one searched variable, later trials darker."""
    digits = figure_digits("objective", spec.objective)
    figure = titled_figure(f"Objective over {name}", name, axis_title(label_of(spec.objective)), log_y=log)
    figure.update_yaxes(tickformat=digits)
    rows = trials[trials["objective"].notna()]
    column = spec.space.by_name[name].column
    _use_scale(figure, spec, name, "x")
    for state, part in rows.groupby("state"):
        _points(
            figure,
            x=_shown(spec, name, part[column]),
            y=part["objective"],
            name=str(state).capitalize(),
            marker={
                "color": part["trial"],
                "colorscale": "Blues",
                "cmin": -rows["trial"].max() / 2,
                "cmax": rows["trial"].max(),
                "symbol": SYMBOLS[str(state)],
                "size": 9,
                "line": {"width": 1},
            },
            customdata=part["trial"],
            hovertemplate=f"trial %{{customdata}}<br>%{{x}}<br>%{{y:{digits}}}",
        )
    return figure if len(rows) else empty_figure(figure, "No trial has an objective yet.")


def contour_plot(trials: pd.DataFrame, spec: Spec, x: str, y: str) -> go.Figure:
    """The objective over two searched variables: the trials, and between them the mean of the nearest ones.

    The surface is the mean of all trials weighted by the inverse square of their distance (Shepard 1968), with each
    axis scaled to its range; it interpolates and promises nothing about what was not tried.
    """
    digits = figure_digits("objective", spec.objective)
    figure = titled_figure(f"Objective over {x} and {y}", x, y)
    rows = trials[trials["objective"].notna()]
    if rows.empty:
        return empty_figure(figure, "No trial has an objective yet.")
    axes = {name: _numbers(spec, name, rows[spec.space.by_name[name].column]) for name in (x, y)}
    ends = {name: (values.min(), values.max()) for name, values in axes.items()}
    lines = {name: np.linspace(*ends[name], GRID) for name in (x, y)}
    spans = {name: max(ends[name][1] - ends[name][0], 1e-12) for name in (x, y)}
    distance = sum(
        ((grid[..., None] - axes[name].to_numpy()) / spans[name]) ** 2
        for name, grid in zip((x, y), np.meshgrid(lines[x], lines[y]), strict=True)
    )
    weights = 1.0 / np.maximum(distance, 1e-6)
    surface = (weights * rows["objective"].to_numpy()).sum(-1) / weights.sum(-1)
    figure.add_contour(
        x=_from_numbers(spec, x, lines[x]),
        y=_from_numbers(spec, y, lines[y]),
        z=surface,
        colorscale=SCALE,
        colorbar={"title": axis_title(label_of(spec.objective)), "tickformat": digits},
        hoverinfo="skip",
    )
    _points(
        figure,
        x=_from_numbers(spec, x, axes[x]),
        y=_from_numbers(spec, y, axes[y]),
        marker={"color": rows["objective"], "colorscale": SCALE, "line": {"width": 1, "color": "white"}, "size": 8},
        customdata=rows[["trial", "objective"]],
        hovertemplate=f"trial %{{customdata[0]}}<br>%{{customdata[1]:{digits}}}<extra></extra>",
        showlegend=False,
    )
    for name, side in ((x, "x"), (y, "y")):
        _use_scale(figure, spec, name, side)
        domain = spec.space.searched[name]
        if isinstance(domain, Categorical):
            ticks = {"tickvals": list(range(len(domain.choices))), "ticktext": [str(c) for c in domain.choices]}
            figure.update_layout({f"{side}axis": ticks})
    return figure


def timeline(trials: pd.DataFrame) -> go.Figure:
    """When each trial ran, by the node it ran on; trials that ran at the same time on a node lie above one another."""
    figure = titled_figure("Timeline", "Time (UTC)", "")
    rows = trials[trials["started_at"].notna() & trials["ended_at"].notna()].sort_values("started_at")
    if len(rows) > MANY:
        figure.update_layout(title=f"Timeline (the latest {MANY:,} of {len(rows):,} trials)")
        rows = rows.tail(MANY)
    ends: dict[str, list[datetime]] = {}
    lanes = []
    for node, began, ended in zip(rows["node"].fillna("no node"), rows["started_at"], rows["ended_at"], strict=True):
        free = ends.setdefault(str(node), [])
        lane = next((number for number, end in enumerate(free) if end <= began), len(free))
        free[lane : lane + 1] = [ended]
        lanes.append(f"{node} / {lane + 1}")
    rows = rows.assign(lane=lanes)
    for state, part in rows.groupby("state"):
        figure.add_bar(
            base=part["started_at"],
            x=(part["ended_at"] - part["started_at"]).dt.total_seconds() * 1000,
            y=part["lane"],
            orientation="h",
            name=str(state).capitalize(),
            marker={"color": COLOURS[str(state)], "line": {"width": 1, "color": "white"}},
            text=part["trial"],
            customdata=part["duration_s"],
            hovertemplate="trial %{text}<br>%{customdata:.3g} s",
        )
    figure.update_xaxes(type="date")
    figure.update_yaxes(categoryorder="array", categoryarray=sorted(set(lanes), reverse=True))
    figure.update_layout(barmode="overlay", height=max(260, 120 + 34 * len(set(lanes))))
    return figure if len(rows) else empty_figure(figure, "No trial has ended yet.")


def health_over_epochs(epochs: pd.DataFrame) -> go.Figure:
    """The figures of health of one trial over its epochs; the overall one stands out.

    Args:
        epochs: rows of that trial, in the order of the epochs.
    """
    figure = titled_figure("Health", "Epoch", "")
    columns = [column for column in epochs if str(column).startswith("health/") and epochs[column].notna().any()]
    for column in columns:
        overall = column == "health/overall"
        figure.add_scatter(
            x=epochs["epoch"],
            y=epochs[column],
            mode="lines+markers",
            name=axis_title(str(column).removeprefix("health/")),
            line={"width": 4 if overall else 1.8, "dash": "solid" if overall else "dot"},
            hovertemplate="epoch %{x}<br>%{y:.4~p}",
        )
    figure.update_yaxes(tickformat=".0%", range=[-0.03, 1.03])
    figure.update_xaxes(**whole_numbers(epochs["epoch"]))
    figure.update_layout(
        title=None, legend={"orientation": "v", "x": 1.02, "xanchor": "left", "y": 1, "yanchor": "top"}
    )
    return figure if columns else empty_figure(figure, "No epoch of this trial has figures of health.")


def pareto_front(trials: pd.DataFrame, front: pd.DataFrame, spec: Spec) -> go.Figure:
    """Both figures of a study with mode pareto, and the front between them."""
    metric, against = f"metric/{spec.objective.metric}", AGAINST[spec.objective.against][0]
    across, upwards = figure_digits(metric), figure_digits(against)
    figure = titled_figure("Pareto front", axis_title(metric), axis_title(against))
    figure.update_layout(xaxis_tickformat=across, yaxis_tickformat=upwards)
    completed = trials[trials["state"] == "COMPLETED"]
    for rows, name, colour, mode in (
        (completed, "Completed", COLOURS["PRUNED"], "markers"),
        (front.sort_values(metric) if len(front) else front, "Front", COLOURS["COMPLETED"], "lines+markers"),
    ):
        _points(
            figure,
            x=rows[metric],
            y=rows[against],
            mode=mode,
            name=name,
            marker={"color": colour, "size": 9},
            customdata=rows["trial"],
            hovertemplate=f"trial %{{customdata}}<br>%{{x:{across}}}, %{{y:{upwards}}}",
        )
    return figure if len(completed) else empty_figure(figure, "No trial completed yet.")


def titled_figure(title: str, x: str, y: str, log_y: bool = False) -> go.Figure:
    """An empty figure with this title and these axes, in the style of all others."""
    figure = go.Figure()
    figure.update_layout(
        title=title,
        xaxis_title=x,
        yaxis_title=y,
        margin={"l": 60, "r": 20, "t": 80, "b": 50},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 1, "xanchor": "right"},
    )
    if log_y:
        figure.update_yaxes(type="log")
    return figure


def _thinned(rows: pd.DataFrame) -> pd.DataFrame:
    """`DISTINCT` of the rows where there are more: evenly spread over their order, the first and the last included."""
    places = np.linspace(0, len(rows) - 1, min(len(rows), DISTINCT)).round().astype(int)
    return rows.iloc[places]


def _counted(state: str, drawn: pd.DataFrame, rows: pd.DataFrame) -> str:
    """The state's name in a legend, which says where only some of its trials are drawn."""
    return state.capitalize() + (f" ({len(drawn):,} of {len(rows):,})" if len(drawn) < len(rows) else "")


def _points(figure: go.Figure, *, mode: str = "markers", **trace: Any) -> None:
    """Markers; many of them by WebGL."""
    add = figure.add_scattergl if len(trace["x"]) > MANY else figure.add_scatter
    add(mode=mode, **trace)


def empty_figure(figure: go.Figure, words: str) -> go.Figure:
    """`figure` with `words` where there is nothing to show."""
    figure.add_annotation(text=words, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, font={"size": 16})
    figure.update_xaxes(showticklabels=False)
    figure.update_yaxes(showticklabels=False)
    return figure


def figure_digits(column: str, objective: Objective | None = None) -> str:
    """How d3 writes a figure: with four significant digits, in percent where people expect that."""
    return ".4~p" if is_share(column, objective) else ".4~g"


def axis_title(column: str) -> str:
    """What a figure's axis, or its line in a legend, is called in words."""
    return in_words(_without_family(column))


def _without_family(column: str) -> str:
    return column.removeprefix("metric/").replace("health/", "health: ")


def whole_numbers(values: pd.Series[Any]) -> dict[str, Any]:
    """How an axis of these whole numbers is written: without halves between them."""
    few = len(values) == 0 or values.max() - values.min() <= FEW
    return {"tickformat": "d", "dtick": 1 if few else None}


def _most_telling(trials: pd.DataFrame, having: set[int], highlight: Sequence[int]) -> list[int]:
    """At most `CURVES` numbers of trials: those that stand out, then completed ones, then the latest of the others."""
    order = {"COMPLETED": 0}
    ranked = sorted(
        zip(trials["trial"], trials["state"], strict=True), key=lambda pair: (order.get(pair[1], 1), -pair[0])
    )
    running = having - set(trials["trial"])
    numbers = [*highlight, *running, *(number for number, _ in ranked)]
    return sorted([n for n in dict.fromkeys(numbers) if n in having][:CURVES])


def _is_log(spec: Spec, name: str) -> bool:
    return bool(getattr(spec.space.searched[name], "log", False))


def _choices(spec: Spec, name: str) -> list[str] | None:
    domain = spec.space.searched[name]
    return [str(choice) for choice in domain.choices] if isinstance(domain, Categorical) else None


def _shown(spec: Spec, name: str, values: pd.Series[Any]) -> pd.Series[Any]:
    """Values as an axis shows them: choices as texts, so that 8, 16 and 32 lie evenly."""
    return values.astype(str) if _choices(spec, name) is not None else values


def _numbers(spec: Spec, name: str, values: pd.Series[Any]) -> pd.Series[Any]:
    """Values as distances are measured: choices by position, logarithms on a log scale."""
    choices = _choices(spec, name)
    if choices is not None:
        return values.astype(str).map(choices.index).astype(float)
    numbers = values.astype(float)
    return numbers.map(math.log10) if _is_log(spec, name) else numbers


def _ticks(spec: Spec, name: str, values: pd.Series[Any]) -> dict[str, Any]:
    """How an axis of numbers is written: choices by name, powers of ten and the ends on a log scale."""
    choices = _choices(spec, name)
    if choices is not None:
        # Else choices that no trial took lie outside.
        ends = {"range": [0, len(choices) - 1]} if len(choices) > 1 else {}
        return {"tickvals": list(range(len(choices))), "ticktext": choices, **ends}
    low, high = float(values.min()), float(values.max())
    if not _is_log(spec, name):
        if not isinstance(spec.space.searched[name], Int):
            return {"tickformat": ".4~g"}
        return {"tickvals": list(range(int(low), int(high) + 1))} if high - low <= FEW else {"tickformat": "d"}
    inner = [float(power) for power in range(int(np.floor(low)) + 1, int(np.ceil(high)))]
    marks = [low, *(power for power in inner if low + 0.1 < power < high - 0.1), high]
    return {"tickvals": marks, "ticktext": [f"{10**mark:.3g}" for mark in marks]}


def _from_numbers(spec: Spec, name: str, values: Any) -> Any:
    return 10.0**values if _choices(spec, name) is None and _is_log(spec, name) else values


def _use_scale(figure: go.Figure, spec: Spec, name: str, side: str) -> None:
    choices = _choices(spec, name)
    if choices is None:
        domain = spec.space.searched[name]
        few = isinstance(domain, Int) and not domain.log and domain.high - domain.low <= FEW
        axis = {"type": "log" if _is_log(spec, name) else "linear", **({"dtick": 1} if few else {})}
        figure.update_layout({f"{side}axis": axis})
    else:
        figure.update_layout({f"{side}axis": {"categoryorder": "array", "categoryarray": choices}})
