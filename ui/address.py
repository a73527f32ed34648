"""The browser's address, which stores the view for anyone who opens it: the study, the filter, the open trial and
more."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

READ = "address_read"


def read_address() -> Mapping[str, str]:
    """What the address requested when this browser opened the page; read once."""
    if READ not in st.session_state:
        asked = {name: st.query_params[name] for name in st.query_params}
        st.session_state[READ] = asked
        if "study" in asked:
            st.session_state["study_wanted"] = asked["study"]
    found: Mapping[str, str] = st.session_state[READ]
    return found


def asked_of(study: str) -> Mapping[str, str]:
    """The same for a part that starts to show `study`: what was requested the first time, then nothing."""
    asked = read_address()
    if asked.get("study", study) != study or asked.get("taken"):
        return {}
    st.session_state[READ] = {"taken": "yes"}
    return asked


def write_address(parts: Mapping[str, str]) -> None:
    """Put the nonempty `parts` in the address, without rerunning the page."""
    wanted = {name: value for name, value in parts.items() if value}
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)
