"""Up to six trials side by side, what differs marked."""

from __future__ import annotations

import pandas as pd
import streamlit as st
from columns import shown, title

from tune_app.results.selection import MOST_COMPARED, side_by_side
from tune_app.spaces.spec import Spec

LEFT_OUT = ("study", "trial_id", "checkpoint", "started_at", "ended_at", "seed")
"""Different for every trial, without telling anything about it."""
MARK = "background-color: rgba(250, 176, 5, 0.22); font-weight: 600"


def show_comparison(study: str, spec: Spec, trials: pd.DataFrame) -> None:
    """A choice of trials, and the table."""
    compared = f"{study}-compared"
    numbers = [int(number) for number in trials["trial"]]
    st.session_state[f"{compared}-choice"] = [n for n in st.session_state.get(compared, []) if n in set(numbers)]

    def keep() -> None:
        st.session_state[compared] = st.session_state[f"{compared}-choice"]

    left, right = st.columns([3, 1], vertical_alignment="bottom")
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
    if len(chosen) < 2:
        st.info("Choose two to six trials here, by their rows in the table, or by their cards in the gallery.")
        return
    # The objective says the main metric already, but for a mixed one.
    twice = [] if spec.objective.mode == "health" else [f"metric/{spec.objective.metric}"]
    table, differs = side_by_side(trials.drop(columns=[*LEFT_OUT, *twice], errors="ignore"), chosen)
    texts = pd.DataFrame(
        {
            f"Trial {number}": [shown(column, table.loc[column, number], spec.objective) for column in table.index]
            for number in table.columns
        }
    )
    texts.insert(0, "Differs", ["≠" if differ else "" for differ in differs])
    texts.insert(0, "What", [_name(column, spec) for column in table.index])
    marks = [MARK if differ else "" for differ in differs]
    if only:
        texts, marks = texts[differs].reset_index(drop=True), [mark for mark in marks if mark]
    styled = texts.style.apply(lambda column: marks, subset=[c for c in texts if c not in ("What", "Differs")])
    st.dataframe(
        styled,
        hide_index=True,
        height=min(600, 38 + 35 * max(len(texts), 1)),
        column_config={"What": st.column_config.Column(pinned=True), "Differs": st.column_config.Column(width=60)},
        alt="The chosen trials side by side",
    )
    st.caption(f"{sum(differs)} of {len(differs)} rows differ; they are marked with ≠ and coloured.")


def _name(column: str, spec: Spec) -> str:
    if column.startswith("config/"):
        return column.removeprefix("config/").replace("/", ".")
    if column.startswith("health/") and column != "health/overall":
        return f"Health: {title(column, spec.objective).lower()}"
    return title(column, spec.objective)
