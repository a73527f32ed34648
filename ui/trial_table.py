"""The table of trials with rows to choose for comparison, and the downloads."""

from __future__ import annotations

import io
import zlib
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from column_memory import chosen_columns, keep_columns
from columns import CURVE, column_config, narrow, title
from trial_panel import open_trial, opened_trial

from tune_app.readable import counted
from tune_app.results.effect import effective
from tune_app.results.selection import MOST_COMPARED, varying
from tune_app.spaces.spec import Spec

HEIGHT = 360
MOST_CURVES = 500
"""Trials whose learning curve is drawn in the table; to see others, sort or filter first."""


def choose_columns(study: str, spec: Spec, trials: pd.DataFrame) -> list[str]:
    """The columns of the table, in a popover: by default those that tell the trials apart."""
    known = narrow([*trials.columns, CURVE], spec)
    known += [column for column in trials.columns if column not in known and column != "study"]
    different = {"trial", "state", "objective", "duration_s", CURVE, *varying(trials)}
    telling = [column for column in narrow(known, spec) if column in different]
    key = f"{study}-columns"
    st.session_state[key] = chosen_columns(study, known) or telling
    with st.popover("Columns", icon=":material/view_column:", width="stretch"):
        left, right = st.columns(2)
        left.button("Only varying", key=f"{key}-telling", on_click=keep_columns, args=(study, []), width="stretch")
        right.button("All", key=f"{key}-all", on_click=keep_columns, args=(study, known), width="stretch")
        chosen = st.multiselect(
            "Columns",
            known,
            format_func=lambda column: column.split("/")[-1] if "config/" in column else title(column, spec.objective),
            key=key,
            on_change=lambda: keep_columns(study, st.session_state[key]),
        )
    return chosen or telling


def show_table(study: str, spec: Spec, listed: pd.DataFrame, columns: list[str], epochs: pd.DataFrame) -> pd.DataFrame:
    """The table: a click opens a trial, and the boxes choose trials to compare.

    Args:
        listed: the trials to show.
        epochs: rows of all of the study's epochs, for the curves.

    Returns:
        the chosen rows, or all of them if none is chosen.
    """
    numbers = [int(number) for number in listed["trial"]]
    # Streamlit stores a choice as positions, so other rows need a new choice.
    key = f"{study}-table-{zlib.crc32(listed['trial'].to_numpy().tobytes())}"
    compared = st.session_state.get(f"{study}-compared", [])

    def choose() -> None:
        chosen = st.session_state[key]["selection"]
        if chosen["cells"]:
            open_trial(study, numbers[chosen["cells"][0][0]])
        elif [numbers[row] for row in chosen["rows"]] == [n for n in compared if n in numbers]:
            open_trial(study, None)  # Escape, in the table
        hidden = [n for n in st.session_state.get(f"{study}-compared", []) if n not in numbers]
        rows = [numbers[row] for row in chosen["rows"]]
        st.session_state[f"{study}-compared"] = [*hidden, *rows][:MOST_COMPARED]

    table = effective(listed, spec.space)
    if CURVE in columns:
        table[CURVE] = _curves(listed, epochs, f"metric/{spec.objective.metric}")
    shown = table[[column for column in columns if column in table]]
    rows = [numbers.index(number) for number in compared if number in numbers]
    opened = opened_trial(study)
    cells = [(numbers.index(opened), "trial")] if opened in numbers else []
    held = st.session_state.get(key, {}).get("selection", {})
    if list(held.get("rows", [])) != rows or [row for row, _ in held.get("cells", [])] != [row for row, _ in cells]:
        st.session_state[key] = {"selection": {"rows": rows, "columns": [], "cells": cells}}
    st.dataframe(
        shown,
        column_config=column_config(shown, spec),
        hide_index=True,
        height=min(HEIGHT, 38 + 35 * max(len(listed), 1)),
        on_select=choose,
        selection_mode=["multi-row", "single-cell"],
        placeholder="–",
        key=key,
        alt=f"Trials of the study {study}",
    )
    return listed.iloc[rows] if rows else listed


def _curves(listed: pd.DataFrame, epochs: pd.DataFrame, column: str) -> pd.Series[Any]:
    """The metric over the epochs of each of the first `MOST_CURVES` trials, so that a large table stays small."""
    curves: dict[Any, list[float]] = {}
    if column in epochs:
        told = epochs["trial"].isin(listed["trial"].head(MOST_CURVES)) & epochs[column].notna()
        rows = epochs.loc[told, ["trial", "epoch", column]].sort_values(["trial", "epoch"])
        trials, firsts = np.unique(rows["trial"].to_numpy(), return_index=True)
        parts = np.split(rows[column].to_numpy(), firsts)[1:]
        curves = {trial: part.tolist() for trial, part in zip(trials.tolist(), parts, strict=True)}
    return pd.Series([curves.get(number) for number in listed["trial"]], index=listed.index, dtype=object)


def show_downloads(study: str, chosen: pd.DataFrame) -> None:
    """The rows as CSV and Parquet, with all columns; written on request."""
    count = counted(len(chosen), "trial")
    row = st.container(horizontal=True)
    row.download_button(
        f"CSV ({count})",
        lambda: chosen.to_csv(index=False).encode(),
        f"{study}.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
    )
    row.download_button(
        f"Parquet ({count})",
        lambda: _parquet(chosen),
        f"{study}.parquet",
        "application/vnd.apache.parquet",
        icon=":material/download:",
        on_click="ignore",
    )


def _parquet(chosen: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    chosen.to_parquet(buffer, index=False)
    return buffer.getvalue()
