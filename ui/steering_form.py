"""Steering a running sweep: stop or retry a trial, set the number of trials and how many run at once."""

from __future__ import annotations

from typing import Any

import streamlit as st
from values import sentence

from tune_app.errors import TuneAppError
from tune_app.provenance import user_name
from tune_app.store.study import Study
from tune_app.store.sweep_changes import Kind, SweepChange, SweepChanges


def ask(study: Study, kind: Kind, value: int) -> None:
    """Ask the study's sweep for a change; its answer appears next to its state."""
    try:
        SweepChanges(study).ask(SweepChange(kind, value, user_name()))
    except TuneAppError as error:
        st.toast(sentence(error), icon=":material/error:", duration="long")
    else:
        st.toast("Sent to the sweep.", icon=":material/send:")


def _ask_entered(study: Study, kind: Kind, field: str) -> None:
    """Ask for the number in a field. It is read after the click, so one that was just typed counts."""
    ask(study, kind, int(st.session_state[field]))


def stop_trial_button(study: Study, trial: int) -> None:
    """A button that ends one running trial after its epoch."""
    st.button(
        f"Stop trial {trial}",
        key=f"{study.name}-stop-{trial}",
        icon=":material/stop_circle:",
        type="tertiary",
        help="Stops it after its current epoch; it counts as pruned.",
        on_click=ask,
        args=(study, "stop", trial),
    )


def retry_button(study: Study, trial: int, key: str) -> None:
    """A button that retries a trial as a new one, with the same configuration and seed."""
    if study.being_written():
        st.button("Retry", icon=":material/replay:", key=key, on_click=ask, args=(study, "retry", trial))
        return
    with st.popover("Retry", icon=":material/replay:", key=key):
        st.markdown("The sweep has ended. This runs the trial again, with the same configuration and seed:")
        st.code(f"tune-app resume {study.name} --retry {trial}", language="shell")


def change_form(study: Study, live: dict[str, Any]) -> None:
    """The total number of trials, and how many at once, in a popover; and the result of the last change."""
    with st.popover("Change…", icon=":material/tune:"):
        total, at_once = f"{study.name}-new-total", f"{study.name}-new-at-once"
        st.number_input("Trials in total", 1, value=max(1, live.get("total") or 1), key=total)
        st.button("Set trials", key=f"{study.name}-set-total", on_click=_ask_entered, args=(study, "trials", total))
        now = int(live.get("concurrent") or 0)
        st.number_input("Trials at once (0: as many as fit)", 0, value=now, key=at_once)
        st.button("Set", key=f"{study.name}-set-at-once", on_click=_ask_entered, args=(study, "concurrent", at_once))
    if live.get("answer"):
        st.caption(f":material/info: {sentence(live['answer'])}")
