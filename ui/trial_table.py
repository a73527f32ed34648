"""The table of trials, whose chosen rows are compared, and the downloads."""

from __future__ import annotations

import io
import zlib

import pandas as pd
import streamlit as st
from columns import column_config, narrow
from trial_panel import open_trial, opened_trial
from values import counted

from tune_app.results.effect import effective
from tune_app.results.selection import MOST_COMPARED, varying
from tune_app.spaces.spec import Spec

HEIGHT = 360


def show_table(study: str, spec: Spec, trials: pd.DataFrame, listed: pd.DataFrame, all_columns: bool) -> pd.DataFrame:
    """The table, where a click opens a trial and the boxes choose trials to compare.

    Args:
        trials: all trials of the study, which decide on the columns, so that none vanishes under a filter.
        listed: those that are shown.

    Returns:
        the rows that are chosen, all of them if none is.
    """
    columns = [column for column in trials.columns if column != "study"]
    if not all_columns:
        different = {"trial", "state", "objective", "duration_s", *varying(trials)}
        columns = [column for column in narrow(columns, spec) if column in different]
    numbers = [int(number) for number in listed["trial"]]
    # Positions are what Streamlit keeps of a choice: with other rows there must be another choice.
    key = f"{study}-table-{zlib.crc32(listed['trial'].to_numpy().tobytes())}"
    compared = st.session_state.get(f"{study}-compared", [])

    def choose() -> None:
        chosen = st.session_state[key]["selection"]
        if chosen["cells"]:
            open_trial(study, numbers[chosen["cells"][0][0]])
        elif [numbers[row] for row in chosen["rows"]] == [n for n in compared if n in numbers]:  # Escape, in the table
            open_trial(study, None)
        hidden = [n for n in st.session_state.get(f"{study}-compared", []) if n not in numbers]
        rows = [numbers[row] for row in chosen["rows"]]
        st.session_state[f"{study}-compared"] = [*hidden, *rows][:MOST_COMPARED]

    shown = effective(listed, spec.space)[columns]
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


def show_downloads(study: str, chosen: pd.DataFrame) -> None:
    """The rows as CSV and Parquet, with all columns; written when they are asked for."""
    count = counted(len(chosen), "trial")
    left, right, _ = st.columns([1, 1, 2])
    left.download_button(
        f"CSV ({count})",
        lambda: chosen.to_csv(index=False).encode(),
        f"{study}.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
        width="stretch",
    )
    right.download_button(
        f"Parquet ({count})",
        lambda: _parquet(chosen),
        f"{study}.parquet",
        "application/vnd.apache.parquet",
        icon=":material/download:",
        on_click="ignore",
        width="stretch",
    )


def _parquet(chosen: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    chosen.to_parquet(buffer, index=False)
    return buffer.getvalue()
