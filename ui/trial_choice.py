"""The trial of a study that a part shows: the best one, or one chosen by a person."""

from __future__ import annotations

import pandas as pd
import streamlit as st
from columns import shown

from tune_app.results.review import ranked
from tune_app.spaces.section import Objective

BEST = "best"


def choose_trial(trials: pd.DataFrame, objective: Objective, study: str) -> int | str:
    """A select box: the best trial (initially), or one by number."""
    rows = ranked(trials, objective.direction)
    labels = {
        int(number): f"Trial {number}: {state.lower()}, {shown('objective', value, objective)}"
        for number, state, value in zip(rows["trial"], rows["state"], rows["objective"], strict=True)
    }
    has_best = len(rows) > 0 and rows.iloc[0]["state"] == "COMPLETED"
    options: list[int | str] = [*([BEST] if has_best else []), *labels]
    key = _key(study)
    if st.session_state.get(key) not in options:
        st.session_state.pop(key, None)
    return st.selectbox(
        "Trial",
        options,
        format_func=lambda option: "The best one, even while the sweep continues" if option == BEST else labels[option],
        key=key,
        persist_state="session",
    )


def set_trial(study: str, number: int) -> None:
    """Choose a trial for the parts that show a single one, from another part."""
    st.session_state[_key(study)] = number


def _key(study: str) -> str:
    return f"{study}-trial"


def row_of(trials: pd.DataFrame, chosen: int | str, objective: Objective) -> pd.Series:
    """The row of the chosen trial."""
    rows = ranked(trials, objective.direction)
    return rows.iloc[0] if chosen == BEST else rows[rows["trial"] == chosen].iloc[0]
