"""Ranges that are dragged along the axes of Parallel as conditions of the one filter, and back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st
from parallel_axes import axis_ranges, set_axis_ranges
from trial_filter import selection_of, set_selection

from tune_app.results import plots
from tune_app.results.selection import Selection
from tune_app.spaces.spec import Spec

Made = dict[str, tuple[tuple[float, float], Any]]
"""For each axis, its range and the condition made from it."""


def take_axis_ranges(study: str, spec: Spec, trials: pd.DataFrame) -> Selection:
    """Sync the filter with the axes; returns the filter without their conditions, for the figure that draws them.

    A range that a person drags becomes a condition. If that condition is changed or removed in the filter, the range
    disappears from its axis.
    """
    made: Made = st.session_state.setdefault(f"{study}-axis-conditions", {})
    ranges, selection = dict(axis_ranges(study)), selection_of(study)
    for name, ends in ranges.items():
        if name not in made or made[name][0] != ends:
            condition = plots.range_values(trials, spec, name, ends)
            selection, made[name] = _with(selection, _column(spec, name), condition), (ends, condition)
    for name, (_, condition) in list(made.items()):
        column = _column(spec, name)
        if name not in ranges:
            selection = selection.without(column)
            del made[name]
        elif selection.choices.get(column, selection.ranges.get(column)) != condition:
            del made[name], ranges[name]
    if selection != selection_of(study):
        set_selection(study, selection)
    if ranges != axis_ranges(study):
        set_axis_ranges(study, ranges)
    for name in made:
        selection = selection.without(_column(spec, name))
    return selection


def _column(spec: Spec, axis: str) -> str:
    return spec.space.by_name[axis].column if axis in spec.space.searched else "objective"


def _with(selection: Selection, column: str, condition: Any) -> Selection:
    if isinstance(condition, list):
        return replace(selection, choices={**selection.choices, column: condition})
    return replace(selection, ranges={**selection.ranges, column: condition})
