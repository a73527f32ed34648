"""To be written."""

from __future__ import annotations

import streamlit as st


def show() -> None:
    """The part."""
    st.info("architecture_page")
