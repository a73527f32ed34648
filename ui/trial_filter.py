"""The filter of the trials: states, variables, figures, a text; kept while other parts of the page are open."""

from __future__ import annotations

import pandas as pd
import streamlit as st
from columns import title
from values import number

from tune_app.results.selection import Selection
from tune_app.spaces.spec import Spec
from tune_app.spaces.variable import Categorical

FIGURES = ("objective", "duration_s", "epochs", "model_parameters", "peak_memory_mb", "latency_ms")
ENDS = ("at least", "at most")


def choose_selection(trials: pd.DataFrame, spec: Spec, study: str) -> Selection:
    """The filter as it is set now, in a popover that says how much is filtered."""
    active = _active(study)
    label = f"Filter ({active})" if active else "Filter"
    with st.popover(label, icon=":material/filter_alt:", width="stretch"):
        return _widgets(trials, spec, study)


def _active(study: str) -> int:
    """How many conditions are set, from the widgets' values, which are there before the widgets are drawn."""
    state, prefix = st.session_state, f"{study}-filter-"
    conditions = [state.get(f"{prefix}states"), state.get(f"{prefix}text")]
    for column in state.get(f"{prefix}by") or []:
        bounds = [state.get(f"{prefix}{column}-{words}") for words in ENDS]
        conditions += [state.get(f"{prefix}{column}"), any(bound is not None for bound in bounds)]
    return sum(map(bool, conditions))


def _widgets(trials: pd.DataFrame, spec: Spec, study: str) -> Selection:
    states = st.pills(
        "State",
        sorted(trials["state"].unique()),
        selection_mode="multi",
        format_func=str.lower,
        key=f"{study}-filter-states",
        persist_state="session",
    )
    columns = {spec.space.by_name[name].column: name for name in spec.space.searched}
    figures = [*FIGURES, *(c for c in trials.columns if c.startswith(("metric/", "health/")))]
    columns |= {column: title(column, spec.objective) for column in figures if column in trials}
    by = st.multiselect(
        "Variables and figures",
        list(columns),
        format_func=columns.__getitem__,
        placeholder="Filter by…",
        key=f"{study}-filter-by",
        persist_state="session",
    )
    choices: dict[str, list[str]] = {}
    ranges: dict[str, tuple[float | None, float | None]] = {}
    for column in by:
        domain = spec.space.searched.get(columns[column]) if column.startswith("config/") else None
        key = f"{study}-filter-{column}"
        if isinstance(domain, Categorical):
            choices[column] = st.multiselect(
                columns[column], [str(choice) for choice in domain.choices], key=key, persist_state="session"
            )
            continue
        known = trials[column].dropna()
        ends = [number(float(end)) for end in (known.min(), known.max())] if len(known) else []
        left, right = st.columns(2)
        bounds = [
            place.number_input(
                f"{columns[column]}, {words}",
                value=None,
                format="%.6g",
                placeholder=end,
                key=f"{key}-{words}",
                persist_state="session",
            )
            for place, words, end in zip((left, right), ENDS, ends or ("", ""), strict=True)
        ]
        ranges[column] = (bounds[0], bounds[1])
    text = st.text_input("Text in the error or the trial's id", key=f"{study}-filter-text", persist_state="session")
    return Selection(states, choices, ranges, text)
