"""The columns that a person chose for a study's table; the browser keeps them for the next visit.

They are a matter of taste and screen size, so they are stored neither with the study, where others would get them, nor
in the address, which a bookmark of the page does not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

SCRIPT = Path(__file__).with_name("column_memory.js").read_text(encoding="utf-8")


def chosen_columns(study: str, known: Sequence[str]) -> list[str]:
    """The chosen columns that the table still has; none if nobody chose any."""
    return [column for column in st.session_state.get(f"{study}-own-columns") or [] if column in known]


def keep_columns(study: str, columns: Sequence[str]) -> None:
    """Set the chosen columns; none means the table's default."""
    st.session_state[f"{study}-own-columns"] = list(columns)


def remember_columns(study: str) -> None:
    """Let the browser keep the choice, and ask it once for an earlier one."""
    key = f"{study}-column-memory"

    def take() -> None:
        kept = st.session_state[key].get("kept")
        if kept is not None and f"{study}-own-columns" not in st.session_state:
            keep_columns(study, [str(column) for column in kept])

    memory = st.components.v2.component("column_memory", html="<span></span>", js=SCRIPT)
    with st.container(height=1, border=False):
        memory(
            key=key,
            data={"study": study, "chosen": st.session_state.get(f"{study}-own-columns")},
            on_kept_change=take,
        )
