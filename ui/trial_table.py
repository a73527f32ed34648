"""The table of trials, whose chosen rows are compared, and the downloads."""

from __future__ import annotations

import io
import zlib

import pandas as pd
import streamlit as st
from columns import column_config, narrow
from values import counted

from tune_app.results.selection import MOST_COMPARED, varying
from tune_app.spaces.spec import Spec

HEIGHT = 360


def show_table(study: str, spec: Spec, trials: pd.DataFrame, all_columns: bool) -> pd.DataFrame:
    """The table; gives the rows that are chosen in it, all of them where none is."""
    columns = [column for column in trials.columns if column != "study"]
    if not all_columns:
        different = {"trial", "state", "objective", "duration_s", *varying(trials)}
        columns = [column for column in narrow(columns, spec) if column in different]
    # Positions are what Streamlit keeps of a choice: with other rows there must be another choice.
    key = f"{study}-table-{zlib.crc32(trials['trial'].to_numpy().tobytes())}"

    def compare() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        st.session_state[f"{study}-compared"] = [int(trials["trial"].iloc[row]) for row in rows[:MOST_COMPARED]]

    state = st.dataframe(
        trials[columns],
        column_config=column_config(trials[columns], spec),
        hide_index=True,
        height=min(HEIGHT, 38 + 35 * max(len(trials), 1)),
        on_select=compare,
        selection_mode="multi-row",
        placeholder="–",
        key=key,
        alt=f"Trials of the study {study}",
    )
    rows = state["selection"]["rows"]
    return trials.iloc[rows] if rows else trials


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
