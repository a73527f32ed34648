"""A trial's network for the page, kept between its runs; `tune_app.results.network.client` says where it comes from.

`ended_at` tells a trial apart from one of an earlier study of the same name.
"""

from __future__ import annotations

import streamlit as st

from tune_app.results.network import client
from tune_app.results.network.client import Layers
from tune_app.store.best_layers import read_best_layers
from tune_app.store.store import Store


@st.cache_data(max_entries=64, show_spinner=False)
def read_layers(store: str, study: str, trial: int, ended_at: str) -> Layers:
    """See `client.read_layers`; those of the best trial are kept with the study."""
    kept = read_best_layers(Store(store).study(study), trial, ended_at)
    return client.read_layers(store, study, trial) if kept is None else kept


@st.cache_data(max_entries=64, show_spinner=False)
def read_statistics(store: str, study: str, trial: int, ended_at: str) -> Layers:
    """See `client.read_statistics`."""
    return client.read_statistics(store, study, trial)


@st.cache_data(max_entries=4, show_spinner=False)
def read_report(store: str, study: str, trial: int, ended_at: str) -> str:
    """See `client.read_report`."""
    return client.read_report(store, study, trial)
