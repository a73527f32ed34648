"""Who may see the page: if others can reach it, only those with the token."""

from __future__ import annotations

import hmac
import os

import streamlit as st

from tune_app.api.listening import is_loopback
from tune_app.credentials import API_TOKEN


def require_token() -> None:
    """Ask for the token if the page is reachable from elsewhere, as the API does; show nothing before."""
    address = st.get_option("server.address") or ""
    if is_loopback(address) or st.session_state.get("token_shown"):
        return
    token = os.environ.get(API_TOKEN)
    if not token:
        st.error(f"This page is not bound to loopback, so it needs a token: set {API_TOKEN} before you start it.")
        st.stop()
    given = st.text_input("Token", type="password", help=f"The person who started the page set it as {API_TOKEN}.")
    if given and hmac.compare_digest(given.encode(), token.encode()):
        st.session_state["token_shown"] = True
        st.rerun()
    if given:
        st.error("Wrong token.")
    st.stop()
