"""The columns of a study's tables as people read them: names, units, formats."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st
from values import number

from tune_app.readable import in_words
from tune_app.spaces.objective import figure_text, is_share, label_of
from tune_app.spaces.section import Objective
from tune_app.spaces.spec import Spec

CURVE = "curve"
"""The column of learning curves in a table of trials."""
PINNED = ("trial", "star", "state", "objective")
LARGE = 1000
"""From here on, four significant digits leave no decimals; `%.4g` would write 12,345 as 1.235e+4."""
NUMBERS = ("trial", "seed")
"""Columns of whole numbers that count nothing: names, which have no commas."""
NAMES = {
    CURVE: "Curve",
    "trial": "Trial",
    "trial_id": "Trial id",
    "state": "State",
    "failure_kind": "Failure",
    "error": "Error",
    "epochs": "Epochs",
    "epoch": "Epoch",
    "started_at": "Started (UTC)",
    "ended_at": "Ended (UTC)",
    "duration_s": "Duration (s)",
    "node": "Node",
    "device": "Device",
    "gpu_fraction": "Share of a GPU",
    "peak_memory_mb": "Peak memory (MB)",
    "gpu_utilization": "GPU busy (%)",
    "model_parameters": "Parameters",
    "seed": "Seed",
    "attempt": "Attempt",
    "resumed_from": "Resumed from epoch",
    "source": "Source",
    "checkpoint": "Checkpoint",
    "latency_ms": "Latency (ms per row)",
    "health/overall": "Health",
    "star": "★",
    "tags": "Tags",
    "note": "Note",
}


def title(column: str, objective: Objective) -> str:
    """What a column is called."""
    if column == "objective":
        return in_words(label_of(objective))
    return NAMES.get(column) or in_words(column.split("/")[-1])


def shown(column: str, value: Any, objective: Objective) -> str:
    """A value of the column as text, with four significant digits."""
    if is_share(column, objective):
        return figure_text(column, value, objective)
    text = number(value)
    return f"{value:%Y-%m-%d %H:%M:%S}" if column.endswith("_at") and text != "–" else text


def narrow(columns: list[str], spec: Spec) -> list[str]:
    """The columns that tell trials apart at a glance, the most useful first: no ids, and no metric twice."""
    first = [
        "trial",
        "star",
        "state",
        "objective",
        CURVE,
        "tags",
        "health/overall",
        *(f"config/{group}/{name}" for group, name in _searched(spec)),
    ]
    last = ["note", "source", "duration_s", "epochs", "model_parameters", "latency_ms", "failure_kind", "error"]
    twice = [] if spec.objective.mode == "health" else [f"metric/{spec.objective.metric}"]
    metrics = [column for column in columns if column.startswith(("metric/", "health/")) and column not in twice]
    order = dict.fromkeys([*first, *metrics, *last])
    return [column for column in order if column in columns]


def _searched(spec: Spec) -> list[tuple[str, str]]:
    return [(spec.space.by_name[name].group, name) for name in spec.space.searched]


def column_config(table: pd.DataFrame, spec: Spec) -> dict[str, Any]:
    """How `st.dataframe` shows the columns of the table; the columns that identify trials stay at the left."""
    described = {v.column: v.description for v in spec.space.variables}
    return {str(column): _column(str(column), table[column], described.get(column), spec) for column in table.columns}


def _column(column: str, values: pd.Series[Any], help_text: str | None, spec: Spec) -> Any:
    name = column.split("/")[-1] if column.startswith("config/") else title(column, spec.objective)
    facts: dict[str, Any] = {"help": help_text, "pinned": column in PINNED}
    if column == CURVE:
        reached = pd.Series([value for curve in values.dropna() for value in curve], dtype=float)
        low, high = (None, None) if reached.empty else (float(reached.quantile(0.1)), float(reached.max()))
        if low == high:  # then the browser finds a range, but rejects one of no height
            low = high = None
        return st.column_config.LineChartColumn(name, width="small", y_min=low, y_max=high)
    if column.endswith("_at"):
        return st.column_config.DatetimeColumn(name, format="YYYY-MM-DD HH:mm:ss", timezone="UTC")
    if is_share(column, spec.objective):
        return st.column_config.NumberColumn(name, format="percent", **facts)
    if pd.api.types.is_integer_dtype(values) and column not in NUMBERS:
        return st.column_config.NumberColumn(name, format="%,d", **facts)
    if pd.api.types.is_float_dtype(values):
        large = values.abs()[values.ne(0)].min() >= LARGE
        # Not `%.4f`, which would turn 0.00004 into zero.
        return st.column_config.NumberColumn(name, format="%,.0f" if large else "%.4g", **facts)
    return st.column_config.Column(name, **facts)
