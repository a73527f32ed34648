"""The token: required only if other machines can reach the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

UI = Path(__file__).parents[2] / "ui"
TOKEN = "a-long-enough-token"


def page_at(address: str) -> AppTest:
    """A page protected by the token, as if it listened at `address`."""
    script = f"""
import sys
sys.path.insert(0, {str(UI)!r})
import streamlit as st
from unittest import mock
from admission import require_token
with mock.patch.object(st, "get_option", return_value={address!r}):
    require_token()
st.write("the results")
"""
    return AppTest.from_string(script).run()


def texts(page: AppTest) -> list[str]:
    return [element.value for element in page.markdown]


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1", "127.0.0.2", "::1"])
def test_loopback_needs_no_token(address: str) -> None:
    assert texts(page_at(address)) == ["the results"]


@pytest.mark.parametrize("address", ["", "0.0.0.0", "10.1.2.3", "::", "somewhere"])
def test_other_addresses_show_nothing_before_the_token(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TUNE_APP_API_TOKEN", raising=False)
    page = page_at(address)
    assert texts(page) == []
    assert "needs a token" in page.error[0].value
    monkeypatch.setenv("TUNE_APP_API_TOKEN", TOKEN)
    page = page_at(address)
    page.text_input[0].set_value("another").run()
    assert texts(page) == []
    assert page.error[0].value == "Wrong token."
    page.text_input[0].set_value(TOKEN).run()
    assert texts(page) == ["the results"]
