"""What people say about a trial: a star, tags and a note, to read and edit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st
from values import sentence

from tune_app.errors import Conflict, TuneAppError
from tune_app.provenance import user_name
from tune_app.store.study import Study
from tune_app.store.trial_notes import LONGEST_NOTE, TrialNote, TrialNotes

LEAVE_FIELD = """<script>
if (!window.fieldsAreLeftByEscape) {
  window.fieldsAreLeftByEscape = true;
  window.addEventListener("keydown", (event) => {
    const field = event.target;
    if (event.key !== "Escape" || !field.matches?.(".st-key-trial-panel textarea, .st-key-trial-panel input")) return;
    event.stopImmediatePropagation();
    field.blur();
  }, true);
}
</script>"""
"""Escape in a field leaves the field and keeps its text, instead of closing the trial."""


def show_star(study: Study, trial: int) -> None:
    """The star, which a click sets or removes."""
    notes = TrialNotes(study)
    starred = _read(notes).get(trial, TrialNote()).star
    st.button(
        "Starred" if starred else "Star",
        icon=":material/star:" if starred else ":material/star_border:",
        key=f"{study.name}-panel-star",
        on_click=_edit,
        args=(notes.star, trial, not starred, user_name()),
    )


def show_notes(study: Study, trial: int) -> None:
    """Tags and the note."""
    notes = TrialNotes(study)
    said = _read(notes)
    note = said.get(trial, TrialNote())
    tags, key = f"{study.name}-tags-{trial}", f"{study.name}-note-{trial}"
    st.session_state[tags] = list(note.tags)

    def retag() -> None:
        chosen = st.session_state[tags]
        for tag in [tag for tag in chosen if tag not in note.tags]:
            _edit(notes.tag, trial, tag, user_name())
        for tag in [tag for tag in note.tags if tag not in chosen]:
            _edit(notes.untag, trial, tag, user_name())

    st.multiselect(
        "Tags",
        sorted({tag for other in said.values() for tag in other.tags}),
        key=tags,
        accept_new_options=True,
        placeholder="Add a tag…",
        on_change=retag,
    )
    # Typed text survives when someone else writes meanwhile; the edit then says which note it has seen.
    seen: dict[str, TrialNote] = st.session_state.setdefault("notes_seen", {})
    if key not in st.session_state or (seen.get(key) != note and st.session_state[key] == seen[key].text):
        st.session_state[key], seen[key] = note.text, note

    def write() -> None:
        _edit(notes.write, trial, st.session_state[key], seen[key].edits, user_name())
        seen[key] = _read(notes).get(trial, TrialNote())

    if seen[key].edits != note.edits:
        st.warning(f"{note.by or 'Someone'} has written in the meantime: {note.text or '(nothing)'}")
    st.text_area("Note", key=key, height=80, max_chars=LONGEST_NOTE, on_change=write)
    st.html(LEAVE_FIELD, unsafe_allow_javascript=True)


def _read(notes: TrialNotes) -> dict[int, TrialNote]:
    try:
        return notes.read()
    except TuneAppError as error:
        st.error(sentence(error))
        return {}


def _edit(act: Callable[..., None], *args: Any) -> None:
    """One edit; a rejected one shows why."""
    try:
        act(*args)
    except Conflict as error:
        st.toast(sentence(error), icon=":material/merge:", duration="long")
    except TuneAppError as error:
        st.toast(sentence(error), icon=":material/error:", duration="long")
