"""Following a sweep: the page refreshes as more is written."""

from __future__ import annotations

import pandas as pd
import streamlit as st
from sources import stamp

from tune_app.store.study import Study

PERIOD_S = 3


def say_state(study: Study, trials: pd.DataFrame, follow: bool = True) -> bool:
    """Show what matters about the study as a whole; returns whether trials have ended.

    It says if nothing has ended yet, nothing completed, or a sweep is running.

    Args:
        follow: rerun the whole part when more has been written; a part that follows in its own way does not.
    """
    running = study.being_written()
    if running and (follow or trials.empty):
        _follow(study, stamp(study, "trials"))
    if trials.empty:
        st.info(
            "No trial has ended yet. The sweep is running, and its results will appear here."
            if running
            else f"No trial of this study has ended. `tune-app resume {study.name}` continues it."
        )
        return False
    states = trials["state"].value_counts()
    if "COMPLETED" not in states and not running:
        kinds = trials["failure_kind"].dropna().value_counts()
        counted = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        errors = trials["error"].dropna()
        first = f" The first one: `{_plain(errors.iloc[0])}`" if len(errors) else ""
        st.warning(
            f"No trial of this study completed, so there is no best one: {_counts(states)}."
            + (f" Failures by kind: {counted}." if counted else "")
            + first
        )
    elif running:
        st.caption(f":material/sync: The sweep is running: {_counts(states)} so far. This page follows it.")
    return True


def _counts(states: pd.Series) -> str:
    return ", ".join(f"{count:,} {str(state).lower()}" for state, count in states.items())


def _plain(text: str) -> str:
    return " ".join(str(text).replace("`", "'").split())[:300]


@st.fragment(run_every=PERIOD_S)
def _follow(study: Study, seen: float) -> None:
    if stamp(study, "trials") != seen or not study.being_written():
        st.rerun()
