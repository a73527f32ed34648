"""The trials as cards, twelve on a page."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any

import pandas as pd
import streamlit as st
from columns import shown, title
from trial_panel import MARKS, open_trial
from values import escaped

from tune_app.readable import counted
from tune_app.results.review import ranked
from tune_app.results.selection import MOST_COMPARED
from tune_app.spaces.spec import Spec
from tune_app.store.study import Study

PAGE = 12
COLUMNS = 3
METRICS = 3
"""Metrics on a card next to the score."""


def show_gallery(study: Study, spec: Spec, trials: pd.DataFrame) -> None:
    """The cards, in the order that the person chooses."""
    orders = ["objective", "trial", *(c for c in ("health/overall", "duration_s", "model_parameters") if c in trials)]
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    with left:
        order = st.selectbox(
            "Order by",
            orders,
            format_func=lambda column: {"objective": "Best first", "trial": "Latest first"}.get(
                column, f"{title(column, spec.objective)}, largest first"
            ),
            key=f"{study.name}-gallery-order",
            persist_state="session",
        )
    pages = max(1, math.ceil(len(trials) / PAGE))
    with right:
        key = f"{study.name}-gallery-page"
        if st.session_state.get(key, 1) > pages:
            st.session_state[key] = pages
        page = st.number_input(f"Page (of {pages:,})", 1, pages, key=key, persist_state="session")
    ordered = (
        ranked(trials, spec.objective.direction)
        if order == "objective"
        else trials.sort_values(order, ascending=False, na_position="last")
    )
    cards = ordered.iloc[(page - 1) * PAGE : page * PAGE].to_dict(orient="records")
    for start in range(0, len(cards), COLUMNS):
        for place, row in zip(st.columns(COLUMNS), cards[start : start + COLUMNS], strict=False):
            with place.container(border=True, height="stretch"):
                _card(study, spec, row)


def _card(study: Study, spec: Spec, row: dict[Hashable, Any]) -> None:
    state, objective = str(row["state"]), spec.objective
    st.markdown(f"**Trial {row['trial']}** :{MARKS[state]}-badge[{state.lower()}]")
    if state == "FAILED":
        st.markdown(f"{row['failure_kind']}: {escaped(str(row['error'])[:160])}")
    else:
        st.markdown(f"{title('objective', objective)} **{shown('objective', row['objective'], objective)}**")
    metrics = [str(c) for c in row if str(c).startswith("metric/") and c != f"metric/{objective.metric}"][:METRICS]
    figures = [
        f"{title(column, objective)} {shown(column, row[column], objective)}"
        for column in ("health/overall", *metrics)
        if column in row and not pd.isna(row[column])
    ]
    if figures:
        st.caption(" · ".join(figures))
    variables = [v for v in spec.space.variables if v.group == "architecture" and v.name in spec.space.searched]
    if variables:
        st.caption(
            " · ".join(f"{v.name} {shown('', row[f'config/architecture/{v.name}'], objective)}" for v in variables)
        )
    st.caption(f":material/timer: {shown('', row['duration_s'], objective)} s, {counted(row['epochs'], 'epoch')}")
    number = int(row["trial"])
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        _compare_box(study.name, number)
        st.button(
            "Open",
            key=f"{study.name}-open-{number}",
            type="tertiary",
            icon=":material/open_in_full:",
            on_click=open_trial,
            args=(study.name, number),
        )


def _compare_box(study: str, number: int) -> None:
    compared: list[int] = st.session_state.get(f"{study}-compared", [])
    key = f"{study}-card-{number}"
    st.session_state[key] = number in compared

    def change() -> None:
        others = [other for other in compared if other != number]
        st.session_state[f"{study}-compared"] = [*others, number] if st.session_state[key] else others

    full = len(compared) >= MOST_COMPARED and number not in compared
    st.checkbox(
        "Compare",
        key=key,
        on_change=change,
        disabled=full,
        help=f"You can compare at most {MOST_COMPARED} trials." if full else None,
    )
