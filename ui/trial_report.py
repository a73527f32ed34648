"""The pictures of one trial, as `tune-app report` writes them, created on request."""

from __future__ import annotations

import streamlit as st
from network import read_report
from values import sentence

from tune_app.errors import TuneAppError
from tune_app.store.study import Study

HEIGHT = 900


def show_report(study: Study, trial: int, ended_at: str) -> None:
    """A button, and its pictures: the training, confusion matrix, gradients, weights, activation maps, a text."""
    wanted = f"{study.name}-report"
    asked = st.button(
        "Pictures of this trial",
        icon=":material/insert_chart:",
        help="Training history and its animation, confusion matrix, gradient flow, histograms of weights and biases, "
        "activation maps, a generated text. Inspecting the network takes a few seconds.",
    )
    if asked:
        st.session_state[wanted] = trial
    if st.session_state.get(wanted) != trial:
        return
    try:
        with st.spinner(f"Creating the pictures of trial {trial}…"):
            text = read_report(study.folder.address, study.name, trial, ended_at)
    except TuneAppError as error:
        st.error(sentence(error))
        return
    st.download_button(
        "Pictures (HTML, one file)",
        text,
        f"{study.name}-{trial}-report.html",
        "text/html",
        icon=":material/download:",
        on_click="ignore",
    )
    st.iframe(text, height=HEIGHT, alt=f"Pictures of trial {trial}")
