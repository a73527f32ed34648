"""What you can do with a trial wherever it is shown: inspect it, apply it, train it, compare it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st
from drafts import trial_subject
from job_view import start
from sources import profiles
from trial_choice import set_trial
from values import sentence

from tune_app.errors import TuneAppError
from tune_app.jobs.job_request import training_request
from tune_app.profiles.profile import Profile, from_trial
from tune_app.results.review import trial_row
from tune_app.results.selection import MOST_COMPARED
from tune_app.store.study import Study


def action(label: str, icon: str, key: str, act: Callable[..., None], *args: Any, **more: Any) -> None:
    """One button of a row; one of our errors becomes a message next to it."""
    if st.button(label, icon=f":material/{icon}:", key=key, **more):
        try:
            act(*args)
        except TuneAppError as error:
            st.toast(sentence(error), icon=":material/error:", duration="long")


def review(study: Study, trial: int) -> None:
    """Open the trial's configuration as a form."""
    st.session_state["review_source"] = "A trial"
    st.session_state[f"review_trial {study.name}"] = trial
    st.switch_page(st.session_state["pages"]["review"])


def architecture(study: Study, trial: int) -> None:
    """Open the trial's network."""
    set_trial(study.name, trial)
    st.switch_page(st.session_state["pages"]["architecture"])


def apply(study: Study, trial: int) -> None:
    """Make the trial's configuration the session.

    Raises:
        TuneAppError: it cannot be applied.
    """
    profiles().apply(_profile(study, trial))
    st.toast(f"Trial {trial} is now the current configuration: `tune-app train` uses it.", icon=":material/check:")


def train(study: Study, trial: int) -> None:
    """Start a full training with the trial's configuration, and follow it on the Review page.

    Raises:
        TuneAppError: it cannot be started.
    """
    job = start(training_request(_profile(study, trial)))
    st.session_state.setdefault("training_jobs", {})[trial_subject(study.name, trial)] = job.id
    review(study, trial)


def toggle_compared(study: Study, trial: int) -> None:
    """Add the trial to the comparison, or remove it."""
    key = f"{study.name}-compared"
    compared: list[int] = st.session_state.get(key, [])
    if trial in compared:
        st.session_state[key] = [other for other in compared if other != trial]
    elif len(compared) < MOST_COMPARED:
        st.session_state[key] = [*compared, trial]
    else:
        st.toast(f"You can compare at most {MOST_COMPARED} trials.", icon=":material/info:")


def _profile(study: Study, trial: int) -> Profile:
    return from_trial(study, trial_row(study, trial), f"{study.name}-{trial}"[:64])
