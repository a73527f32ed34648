"""The drafts of one browser, kept apart from the widgets: Streamlit drops their state with the part that shows them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import streamlit as st

from tune_app.profiles.draft import Draft

LEAVING = """<script>window.onbeforeunload = %s;</script>"""
ASK = "function (event) { event.preventDefault(); event.returnValue = ''; return ''; }"


def trial_subject(study: str, trial: int) -> str:
    """What the draft of a trial is called."""
    return f"{study} · trial {trial}"


def drafts() -> dict[str, Draft]:
    """The drafts by subject, such as ``digits-cnn-1 · trial 17``."""
    found: dict[str, Draft] = st.session_state.setdefault("drafts", {})
    return found


def _kept() -> dict[str, Any]:
    """What was last saved or applied of each draft."""
    found: dict[str, Any] = st.session_state.setdefault("kept_drafts", {})
    return found


def _state(draft: Draft) -> tuple[Mapping[str, Any], str]:
    return {field.variable.name: field.entered for field in draft.changed}, draft.note


def keep(subject: str) -> None:
    """Record that the draft was saved or applied as it is."""
    _kept()[subject] = _state(drafts()[subject])


def is_unsaved(subject: str) -> bool:
    """Whether the draft has edits that were neither saved nor applied."""
    draft = drafts()[subject]
    edited = bool(draft.changed) or draft.note != draft.found.note
    return edited and _state(draft) != _kept().get(subject)


def forget(subject: str) -> None:
    """Drop a draft and its widgets, which would restore its values."""
    drafts().pop(subject, None)
    for key in [key for key in st.session_state if str(key).startswith(f"{subject} | ")]:
        del st.session_state[key]


def _discard(subjects: list[str]) -> None:
    for subject in subjects:
        forget(subject)


def show_unsaved() -> None:
    """Show unsaved edits in the sidebar of every part; the browser asks before it leaves them."""
    unsaved = [subject for subject in drafts() if is_unsaved(subject)]
    if unsaved:
        names = ", ".join(f"**{subject}**" for subject in unsaved)
        st.sidebar.warning(f"Unsaved edits: {names}. Apply or save them on the Review page.", icon=":material/edit:")
        with st.sidebar.popover("Discard…", icon=":material/delete:"):
            st.markdown("Unsaved edits will be lost.")
            st.button("Discard all unsaved edits", on_click=_discard, args=(unsaved,))
    # The number makes this a new element when the answer changes: a script runs when its element appears.
    handler = ASK if unsaved else "null"
    with st.sidebar:
        st.html(LEAVING % handler + f"<!-- {json.dumps(len(unsaved))} -->", unsafe_allow_javascript=True)
