"""Up to six trials side by side: their learning curves, and a table in which the best of each row is marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st
from columns import shown, title
from figure_tools import OnTrial, follow_clicks, show_chart
from sources import epochs_of

from tune_app.readable import counted
from tune_app.results import plots
from tune_app.results.effect import effective
from tune_app.results.selection import MOST_COMPARED, side_by_side
from tune_app.spaces.spec import Spec
from tune_app.spaces.variable import Direction
from tune_app.store.study import Study

LEFT_OUT = ("study", "trial_id", "checkpoint", "started_at", "ended_at", "seed")
"""Different for every trial, but uninformative."""
MARK = "background-color: rgba(250, 176, 5, 0.22)"
BEST = "background-color: rgba(0, 114, 178, 0.28); font-weight: 700"
STAR = "★ "
HEIGHT = 300
"""Of the curves."""
ROW, MOST_ROWS = 35, 40
WIDTHS = {"What": 180, "Differs": 62, "Trial": 96}
"""Of the columns, in pixels: six trials fit at 1440, and at 900 the names stay while the trials scroll."""


def show_comparison(study: Study, spec: Spec, listed: pd.DataFrame, on_trial: OnTrial | None = None) -> None:
    """A choice of trials, their curves, and the table.

    Args:
        listed: the trials that meet the filter; chosen ones among the others stay chosen, and a line names them.
        on_trial: called with the number of a trial whose curve is clicked.
    """
    compared = f"{study.name}-compared"
    numbers = [int(number) for number in listed["trial"]]
    before: list[int] = st.session_state.get(compared, [])
    hidden = [number for number in before if number not in set(numbers)]
    st.session_state[f"{compared}-choice"] = [number for number in before if number not in hidden]

    def keep() -> None:
        # Beyond the most, what is hidden gives way to what is seen.
        st.session_state[compared] = [*hidden, *st.session_state[f"{compared}-choice"]][-MOST_COMPARED:]

    left, right = st.columns([2, 1], vertical_alignment="bottom")
    with left:
        chosen = st.multiselect(
            f"Trials, at most {MOST_COMPARED}",
            numbers,
            format_func=lambda number: f"trial {number}",
            max_selections=MOST_COMPARED,
            key=f"{compared}-choice",
            on_change=keep,
        )
    with right:
        only = st.toggle("Only differences", value=True, key=f"{compared}-only", persist_state="session")
    if hidden:
        st.caption(f"Hidden by the filter: {', '.join(f'trial {number}' for number in hidden)}.")
    if len(chosen) < 2:
        st.info("Choose two to six trials here, by their rows in the table, or by their cards in the gallery.")
        return
    _show_curves(study, spec, chosen, on_trial)
    _show_table(spec, effective(listed, spec.space), chosen, only)


def _show_curves(study: Study, spec: Spec, chosen: Sequence[int], on_trial: OnTrial | None) -> None:
    epochs, metric = epochs_of(study), f"metric/{spec.objective.metric}"
    figure = plots.compared_curves(epochs, chosen, metric)
    plots.set_height(figure, HEIGHT)
    chart = f"{study.name}-compared-chart"
    rows = epochs.loc[epochs["trial"].isin(chosen)].filter(["trial", "epoch", metric])
    name = f"{study.name}-compared"
    show_chart(chart, name, figure, "Learning curves of the compared trials", lambda: rows)
    if on_trial is not None:
        follow_clicks(chart, on_trial)


def _show_table(spec: Spec, trials: pd.DataFrame, chosen: Sequence[int], only: bool) -> None:
    # The objective already shows the main metric, unless it is a mixed one.
    twice = [] if spec.objective.mode == "health" else [f"metric/{spec.objective.metric}"]
    table, differs = side_by_side(trials.drop(columns=[*LEFT_OUT, *twice], errors="ignore"), chosen)
    columns = [str(column) for column in table.index]
    best = {column: best_of(list(table.loc[column]), direction_of(spec, column)) for column in columns}
    texts = pd.DataFrame(
        {
            f"Trial {number}": [
                (STAR if best[column][place] else "") + shown(column, table.loc[column, number], spec.objective)
                for column in columns
            ]
            for place, number in enumerate(table.columns)
        }
    )
    texts.insert(0, "Differs", ["≠" if differ else "" for differ in differs])
    texts.insert(0, "What", [_name(column, spec) for column in columns])
    # If only rows that differ are listed, a color in all of them would mean nothing.
    marks = [MARK if differ and not only else "" for differ in differs]
    styles = pd.DataFrame("", index=texts.index, columns=texts.columns)
    for place, number in enumerate(table.columns):
        firsts = [best[column][place] for column in columns]
        styles[f"Trial {number}"] = [BEST if first else mark for first, mark in zip(firsts, marks, strict=True)]
    if only:
        texts, styles = texts[differs].reset_index(drop=True), styles[differs].reset_index(drop=True)
    st.dataframe(
        texts.style.apply(lambda _: styles, axis=None),
        hide_index=True,
        height=3 + ROW * (1 + min(max(len(texts), 1), MOST_ROWS)),
        column_config={
            str(name): st.column_config.Column(pinned=name == "What", width=WIDTHS.get(str(name), WIDTHS["Trial"]))
            for name in texts
        },
        alt="The chosen trials side by side",
    )
    verb = "differs" if sum(differs) == 1 else "differ"
    st.caption(f"{sum(differs)} of {counted(len(differs), 'row')} {verb} (≠). A star marks the best of a metric.")


def direction_of(spec: Spec, column: str) -> Direction | None:
    """The direction in which a column is better; None if it does not measure quality, or is unknown."""
    if column == "objective":
        return spec.objective.direction
    if column.startswith("health/"):
        return "maximize"
    return spec.catalog.metrics.get(column.removeprefix("metric/")) if column.startswith("metric/") else None


def best_of(row: Sequence[Any], direction: Direction | None) -> list[bool]:
    """Which values of a row are the best ones; none if all are equal or the better direction is unknown."""
    if direction is None:
        return [False] * len(row)
    values = pd.to_numeric(pd.Series(row), errors="coerce")
    if values.nunique() < 2:
        return [False] * len(row)
    return [bool(value == (values.max() if direction == "maximize" else values.min())) for value in values]


def _name(column: str, spec: Spec) -> str:
    if column.startswith("config/"):
        return column.split("/")[-1]
    if column.startswith("health/") and column != "health/overall":
        return f"Health: {title(column, spec.objective).lower()}"
    return title(column, spec.objective)
