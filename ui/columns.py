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

NAMES = {
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
    """A value of the column as a text, with four significant digits."""
    if is_share(column, objective):
        return figure_text(column, value, objective)
    text = number(value)
    return f"{value:%Y-%m-%d %H:%M:%S}" if column.endswith("_at") and text != "–" else text


def narrow(columns: list[str], spec: Spec) -> list[str]:
    """The columns that tell trials apart at a glance, the most telling first: no ids, and no metric twice."""
    first = [
        "trial",
        "star",
        "state",
        "objective",
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
    """How `st.dataframe` shows the columns of the table."""
    config: dict[str, Any] = {}
    described = {v.column: v.description for v in spec.space.variables}
    for column in table.columns:
        name, help_text = title(column, spec.objective), described.get(column)
        if column.startswith("config/"):
            name = column.split("/")[-1]
        if column.endswith("_at"):
            config[column] = st.column_config.DatetimeColumn(name, format="YYYY-MM-DD HH:mm:ss", timezone="UTC")
        elif is_share(column, spec.objective):
            config[column] = st.column_config.NumberColumn(name, format="percent", help=help_text)
        elif pd.api.types.is_float_dtype(table[column]):  # four digits after the point would make 0.00004 a zero
            config[column] = st.column_config.NumberColumn(name, format="%.4g", help=help_text)
        else:
            config[column] = st.column_config.Column(name, help=help_text, pinned=column == "trial")
    return config
