"""What a trial printed."""

from __future__ import annotations

import streamlit as st

from tune_app.store.log_lines import last_lines
from tune_app.store.study import Study

LAST_LINES = 200


def has_log(study: Study, trial: int) -> bool:
    """Whether the trial printed anything."""
    return study.folder.size(study.log(trial)) is not None


def show_log(study: Study, trial: int) -> None:
    """The end of the trial's output."""
    text, _ = last_lines(study.folder, study.log(trial), LAST_LINES)
    st.code(text.decode(errors="replace"), language=None, height=300, wrap_lines=True)
    st.caption(f"The last {LAST_LINES} lines; `tune-app logs {study.name} {trial}` shows all.")
