"""The one filter of the trials: over figures, table, gallery and comparison, shown as chips, kept in the address."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st
from columns import shown, title
from values import escaped, number

from tune_app.readable import counted
from tune_app.results.selection import STAR, STATES, TAGS, TEXT, Selection, tags_of
from tune_app.spaces.spec import Spec
from tune_app.spaces.variable import Categorical

FIGURES = ("objective", "duration_s", "epochs", "model_parameters", "peak_memory_mb", "latency_ms")
ENDS = ("at least", "at most")


def selection_of(study: str) -> Selection:
    """The current filter."""
    found: Selection = st.session_state.get(f"{study}-selection", Selection())
    return found


def set_selection(study: str, selection: Selection) -> None:
    """Set it, from anywhere on the page."""
    st.session_state[f"{study}-selection"] = selection


def choose_selection(trials: pd.DataFrame, spec: Spec, study: str) -> None:
    """The conditions as widgets, in a popover that says how many are set."""
    active = len(selection_of(study).conditions())
    label = f"Filter ({active})" if active else "Filter"
    # The key keeps it open while its label changes.
    with st.popover(label, icon=":material/filter_alt:", width="stretch", key=f"{study}-filter"):
        _widgets(trials, spec, study)


def show_chips(trials: pd.DataFrame, spec: Spec, study: str) -> None:
    """Each condition with a cross that removes it, and how many trials meet them all; nothing without conditions."""
    selection = selection_of(study)
    conditions = selection.conditions()
    place = st.empty()  # always there: if it came and went, the browser would redraw everything below it
    if not conditions:
        return
    with place.container(horizontal=True, vertical_alignment="center", gap="small", key="filter-chips"):
        for condition in conditions:
            st.button(
                f"{_in_words(selection, condition, spec)} ✕",
                key=f"{study}-chip-{condition}",
                help="Remove this condition",
                on_click=_remove,
                args=(study, condition),
            )
        if len(conditions) > 1:
            st.button("Clear all", key=f"{study}-chip-all", type="tertiary", on_click=_clear, args=(study,))
        met = len(selection.of(trials))
        st.caption(f"{met:,} of {counted(len(trials), 'trial')} {'meets' if met == 1 else 'meet'} the filter.")


def say_emptied(trials: pd.DataFrame, spec: Spec, study: str) -> None:
    """Say that no trial meets the filter, and which condition is to blame."""
    selection = selection_of(study)
    lines = [
        f"- without **{_in_words(selection, condition, spec)}**, {counted(count, 'trial')}"
        for condition, count in selection.emptied_by(trials).items()
    ]
    for column, (low, high) in selection.ranges.items():
        if low is not None and high is not None and low > high:
            least, most = (shown(column, float(end), spec.objective) for end in (low, high))
            lines.append(f"- **{_name(column, spec)}** must be at least {least} and at most {most}")
    if not lines and len(selection.conditions()) > 1:
        lines.append("- no single condition is the cause, but together they leave nothing")
    st.info("No trial meets the filter:\n\n" + "\n".join(lines) if lines else "No trial meets the filter.")


def _remove(study: str, condition: str) -> None:
    set_selection(study, selection_of(study).without(condition))
    shown = f"{study}-filter-by"
    st.session_state[shown] = [column for column in st.session_state.get(shown, []) if column != condition]


def _clear(study: str) -> None:
    set_selection(study, Selection())
    st.session_state[f"{study}-filter-by"] = []


def _name(column: str, spec: Spec) -> str:
    """A column's name in the filter."""
    return column.split("/")[-1] if column.startswith("config/") else title(column, spec.objective)


def _in_words(selection: Selection, condition: str, spec: Spec) -> str:
    """The text of a condition's chip."""
    if condition == STATES:
        return " or ".join(sorted(map(str.lower, selection.states)))
    if condition == STAR:
        return "★"
    if condition == TAGS:
        return f"tag {escaped(' or '.join(selection.tags))}"
    if condition == TEXT:
        return f"text “{escaped(selection.text)}”"
    name = escaped(_name(condition, spec))
    if condition in selection.choices:
        return f"{name}: {escaped(', '.join(selection.choices[condition]))}"
    ends = selection.ranges[condition]
    low, high = (None if end is None else shown(condition, float(end), spec.objective) for end in ends)
    if low is not None and high is not None:
        return f"{name}: {low} to {high}"
    return f"{name} ≥ {low}" if low is not None else f"{name} ≤ {high}"


def _widgets(trials: pd.DataFrame, spec: Spec, study: str) -> None:
    selection = selection_of(study)

    def states(chosen: list[str]) -> None:
        set_selection(study, replace(selection_of(study), states=chosen))

    def text(entered: str) -> None:
        set_selection(study, replace(selection_of(study), text=entered))

    st.pills(
        "State",
        sorted(trials["state"].unique()),
        selection_mode="multi",
        format_func=str.lower,
        **_held(f"{study}-filter-states", list(selection.states), states),
    )
    _said(trials, study)
    for column in _columns(trials, spec, study):
        _condition(column, trials, spec, study)
    st.text_input(
        "Text in the error, the note or the trial's id", **_held(f"{study}-filter-text", selection.text, text)
    )


def _said(trials: pd.DataFrame, study: str) -> None:
    """By stars and tags, if there are any."""
    selection = selection_of(study)
    tags = sorted({tag for said in trials["tags"].dropna().unique() for tag in tags_of(said)} | set(selection.tags))

    def starred(chosen: bool) -> None:
        set_selection(study, replace(selection_of(study), starred=chosen))

    def tagged(chosen: list[str]) -> None:
        set_selection(study, replace(selection_of(study), tags=chosen))

    if trials["star"].any() or selection.starred:
        st.toggle("Only starred trials", **_held(f"{study}-filter-star", selection.starred, starred))
    if tags:
        st.multiselect("Tags", tags, **_held(f"{study}-filter-tags", list(selection.tags), tagged))


def _columns(trials: pd.DataFrame, spec: Spec, study: str) -> list[str]:
    """The columns that the person filters by, with conditions or about to get some."""
    names = {spec.space.by_name[name].column: name for name in spec.space.searched}
    figures = [*FIGURES, *(c for c in trials.columns if c.startswith(("metric/", "health/")))]
    names |= {column: title(column, spec.objective) for column in figures if column in trials}
    selection, key = selection_of(study), f"{study}-filter-by"
    conditions = [c for c in selection.conditions() if c not in (STATES, TEXT, STAR, TAGS)]
    names |= {column: _name(column, spec) for column in conditions}

    def keep(chosen: list[str]) -> None:
        kept = selection_of(study)
        for column in conditions:
            if column not in chosen:
                kept = kept.without(column)
        set_selection(study, kept)

    shown = [c for c in st.session_state.get(key, []) if c in names]
    return st.multiselect(
        "Variables and measurements",
        list(names),
        format_func=names.__getitem__,
        placeholder="Filter by…",
        persist_state="session",
        **_held(key, list(dict.fromkeys([*shown, *conditions])), keep),
    )


def _condition(column: str, trials: pd.DataFrame, spec: Spec, study: str) -> None:
    """The widgets of one column: its choices, or the ends of a range."""
    selection, name, key = selection_of(study), _name(column, spec), f"{study}-filter-{column}"
    domain = spec.space.searched.get(name) if column.startswith("config/") else None

    def choose(chosen: list[str]) -> None:
        held = selection_of(study)
        set_selection(study, replace(held, choices={**held.choices, column: chosen}))

    if isinstance(domain, Categorical):
        held = list(selection.choices.get(column, []))
        st.multiselect(name, [str(choice) for choice in domain.choices], **_held(key, held, choose))
        return
    known = trials[column].dropna()
    ends = [number(float(end)) for end in (known.min(), known.max())] if len(known) else ["", ""]
    for side, place in enumerate(st.columns(2)):

        def bound(entered: float | None, side: int = side) -> None:
            held = selection_of(study)
            bounds = list(held.ranges.get(column, (None, None)))
            bounds[side] = entered
            set_selection(study, replace(held, ranges={**held.ranges, column: (bounds[0], bounds[1])}))

        place.number_input(
            f"{name}, {ENDS[side]}",
            value=None,
            format="%.6g",
            placeholder=ends[side],
            **_held(f"{key}-{ENDS[side]}", selection.ranges.get(column, (None, None))[side], bound),
        )


def _held(key: str, value: Any, change: Callable[[Any], None]) -> dict[str, Any]:
    """Binds a widget to the filter: it shows `value`, and `change` receives what the person sets."""
    st.session_state[key] = value

    def changed() -> None:
        change(st.session_state[key])

    return {"key": key, "on_change": changed}
