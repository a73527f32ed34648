"""Trials: what was tried, as figures, a table and cards, filtered, compared and downloaded."""

from __future__ import annotations

import pandas as pd
import streamlit as st
from columns import shown, title
from comparison import show_comparison
from following import say_state
from parallel_axes import axis_ranges
from sources import chosen_study, read_spec, trials_of
from trial_figures import show_figure
from trial_filter import choose_selection
from trial_gallery import show_gallery
from trial_table import show_downloads, show_table
from values import sentence

from tune_app.errors import TuneAppError
from tune_app.results.plots import within
from tune_app.results.review import ranked
from tune_app.spaces.spec import Spec
from tune_app.store.study import Study

VIEWS = ["Table", "Gallery", "Compare"]


def show() -> None:
    """The part."""
    st.header("Trials")
    study = chosen_study()
    trials = trials_of(study)
    try:
        spec = read_spec(study)
    except TuneAppError as error:  # what was found is there all the same
        st.error(sentence(error))
        if say_state(study, trials):
            _show_as_stored(study, trials)
        return
    if not say_state(study, trials):
        return
    _show_sums(spec, trials)
    filtered = trials
    compared = st.session_state.get(f"{study.name}-compared", [])
    figure = st.container()
    view, filters, switch = st.columns([3, 2, 2], vertical_alignment="center")
    with filters:
        filtered = choose_selection(trials, spec, study.name).of(trials)
    with figure:
        show_figure(study, spec, filtered, compared)
    ranges = axis_ranges(study.name)
    listed = within(filtered, spec, ranges) if ranges else filtered
    with view:
        chosen = st.segmented_control(
            "View",
            VIEWS,
            default=VIEWS[0],
            required=True,
            label_visibility="collapsed",
            key=f"{study.name}-view",
            persist_state="session",
        )
    with switch:
        all_columns = st.toggle(
            "All columns",
            help="Otherwise those in which the trials differ.",
            key=f"{study.name}-all-columns",
            persist_state="session",
            disabled=chosen != "Table",
        )
    if len(listed) < len(trials):
        by = " and the ranges on the axes" if ranges else ""
        st.caption(f"{len(listed):,} of {len(trials):,} trials meet the filter{by}.")
    if listed.empty:
        st.info("No trial meets the filter. Widen it, or clear the ranges on the axes.")
        return
    listed = ranked(listed, spec.objective.direction)
    if chosen == "Table":
        show_downloads(study.name, show_table(study.name, spec, listed, all_columns))
    elif chosen == "Gallery":
        show_gallery(study.name, spec, listed)
        show_downloads(study.name, listed)
    else:
        show_comparison(study.name, spec, trials)


def _show_as_stored(study: Study, trials: pd.DataFrame) -> None:
    """The trials without what the search space tells: which figure counts, what the variables are called."""
    st.caption("Without its search space, the trials are shown as the store has them.")
    st.dataframe(
        trials.drop(columns="study"), hide_index=True, placeholder="–", alt=f"Trials of the study {study.name}"
    )
    show_downloads(study.name, trials)


def _show_sums(spec: Spec, trials: pd.DataFrame) -> None:
    """The best trial and how the trials ended, at one glance."""
    best = ranked(trials, spec.objective.direction).iloc[0]
    states = trials["state"].value_counts()
    won = best["state"] == "COMPLETED"
    ends = ", ".join(f"{states[state]:,} {state.lower()}" for state in states.index)
    name = title("objective", spec.objective)
    places = st.columns(4)
    places[0].metric(f"Best {name.lower()}", shown("objective", best["objective"], spec.objective) if won else "–")
    places[1].metric("Best trial", f"{best['trial']}" if won else "–")
    places[2].metric("Trials", f"{len(trials):,} of {max(spec.budget.trials, len(trials)):,}", help=ends)
    places[3].metric(
        "Health of the best", shown("health/overall", best.get("health/overall"), spec.objective) if won else "–"
    )
