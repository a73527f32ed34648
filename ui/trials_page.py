"""Trials: the winner and what to do with it, then all trials as figures, a table and cards, to filter and compare."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st
from address import asked_of, write_address
from answer_band import show_answer, show_buttons
from axis_filter import take_axis_ranges
from column_memory import remember_columns
from comparison import show_comparison
from figure_settings import set_settings, settings_of
from following import say_state
from sources import chosen_study, epochs_of, read_spec, trials_of
from trial_figures import figures_of, show_figure
from trial_filter import choose_selection, say_emptied, selection_of, set_selection, show_chips
from trial_gallery import show_gallery
from trial_panel import open_trial, opened_trial, show_panel
from trial_table import choose_columns, show_downloads, show_table
from values import sentence

from tune_app.errors import InputError, TuneAppError
from tune_app.results.review import ranked
from tune_app.results.selection import MOST_COMPARED, Selection
from tune_app.spaces.spec import Spec
from tune_app.store.study import Study

VIEWS = ["Table", "Gallery", "Compare"]
PARTS = ("study", "view", "figure", "filter", "compare", "trial")
"""Of the address, apart from the settings of the figures."""


def show() -> None:
    """The part."""
    head, buttons = st.columns([2, 3], vertical_alignment="center")
    head.header("Trials", anchor=False)
    study = chosen_study()
    trials = trials_of(study)
    try:
        spec = read_spec(study)
    except TuneAppError as error:  # the results are there all the same
        st.error(sentence(error))
        if say_state(study, trials):
            _show_as_stored(study, trials)
        return
    if not say_state(study, trials):
        return
    _take_address(study.name, spec, trials)
    order = ranked(trials, spec.objective.direction)
    if order.iloc[0]["state"] == "COMPLETED":
        with buttons:
            show_buttons(study, int(order.iloc[0]["trial"]))
    show_answer(study, spec, trials)
    _show_below(study, spec)


@st.fragment
def _show_below(study: Study, spec: Spec) -> None:
    """Everything that a filter changes: it reruns alone, so that the browser does not redraw the rest of the page."""
    trials = trials_of(study, told=True)
    order = ranked(trials, spec.objective.direction)
    unbrushed = take_axis_ranges(study.name, spec, trials).of(order)
    listed = selection_of(study.name).of(order)
    show_chips(trials, spec, study.name)
    figure = st.container()
    with st.container(key="view-row"):
        view, filters, switch = st.columns([3, 2, 2], vertical_alignment="center")
    with filters:
        choose_selection(trials, spec, study.name)
    if listed.empty:
        with figure:
            say_emptied(trials, spec, study.name)
    else:
        _show_trials(study, spec, order, listed, (view, switch))
        with figure:  # after the table, which shows the filter's effect: the browser takes longest to draw a figure
            show_figure(study, spec, listed, unbrushed, _compared(study.name), partial(open_trial, study.name))
    show_panel(study, spec, order, listed)
    _keep_address(study.name)


def _show_trials(
    study: Study,
    spec: Spec,
    trials: pd.DataFrame,
    listed: pd.DataFrame,
    places: tuple[st.delta_generator.DeltaGenerator, ...],
) -> None:
    """The chosen view of the trials that meet the filter."""
    view, switch = places
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
    if chosen == "Table":
        with switch:
            columns = choose_columns(study.name, spec, trials)
        show_downloads(study.name, show_table(study.name, spec, listed, columns, epochs_of(study)))
        remember_columns(study.name)
    elif chosen == "Gallery":
        show_gallery(study, spec, listed)
        show_downloads(study.name, listed)
    else:
        show_comparison(study, spec, listed, partial(open_trial, study.name))


def _compared(study: str) -> list[int]:
    """The numbers of the trials chosen for comparison."""
    found: list[int] = st.session_state.get(f"{study}-compared", [])
    return found


def _take_address(study: str, spec: Spec, trials: pd.DataFrame) -> None:
    """Show what the address requests; report what is wrong in it, and show the rest."""
    asked = asked_of(study)
    for part, known in (("view", VIEWS), ("figure", figures_of(spec))):
        if asked.get(part) in known:
            st.session_state[f"{study}-{part}"] = asked[part]
    if asked:
        set_settings(study, {name: value for name, value in asked.items() if name not in PARTS})
    numbers = set(map(int, trials["trial"]))
    try:
        if "trial" in asked:
            open_trial(study, int(asked["trial"]))
        if "compare" in asked:
            chosen = [int(number) for number in asked["compare"].split(",")]
            st.session_state[f"{study}-compared"] = [number for number in chosen if number in numbers][:MOST_COMPARED]
        if "filter" in asked:
            set_selection(study, Selection.from_text(asked["filter"], trials))
    except InputError as error:
        st.warning(sentence(error))
    except ValueError:
        st.warning("The trial in the address is not a number.")


def _keep_address(study: str) -> None:
    """Let the address open this very view for someone else."""
    state, trial = st.session_state, opened_trial(study)
    view, figure = state.get(f"{study}-view"), state.get(f"{study}-figure")
    write_address(
        {
            "study": study,
            "view": "" if view in (None, VIEWS[0]) else str(view),
            "figure": "" if figure in (None, "History") else str(figure),
            "filter": selection_of(study).to_text(),
            "compare": ",".join(map(str, _compared(study))),
            "trial": "" if trial is None else str(trial),
            **settings_of(study),
        }
    )


def _show_as_stored(study: Study, trials: pd.DataFrame) -> None:
    """The trials without what the search space provides: the objective and the names of the variables."""
    st.caption("Without its search space, the trials are shown as stored.")
    st.dataframe(
        trials.drop(columns="study"), hide_index=True, placeholder="–", alt=f"Trials of the study {study.name}"
    )
    show_downloads(study.name, trials)
