"""The settings of the figures, as part of the address: a link draws the same figure for a colleague."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

SWITCH = (False, True)


def setting(study: str, name: str, default: Any, options: Sequence[Any] = SWITCH) -> dict[str, Any]:
    """The arguments of a widget whose value belongs in the address, once someone changes it.

    Args:
        name: in the address.
        default: the value at first; a list if the widget has several.
        options: the valid values, or the valid parts of a list.
    """
    key = f"{study}-{name}"

    def keep() -> None:
        st.session_state[_key(study)] = {**settings_of(study), name: _text(st.session_state[key])}

    if key not in st.session_state:
        st.session_state[key] = _value(settings_of(study).get(name), default, options)
    return {"key": key, "on_change": keep, "persist_state": "session"}


def settings_of(study: str) -> Mapping[str, str]:
    """The changed settings, by name."""
    found: Mapping[str, str] = st.session_state.get(_key(study), {})
    return found


def set_settings(study: str, settings: Mapping[str, str]) -> None:
    """Start with these settings; unknown names and values have no effect."""
    st.session_state[_key(study)] = dict(settings)


def _key(study: str) -> str:
    return f"{study}-figure-settings"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _value(text: str | None, default: Any, options: Sequence[Any]) -> Any:
    known = {_text(option): option for option in options}
    if text is None:
        return default
    if isinstance(default, list):
        return [known[part] for part in text.split(",") if part in known] or default
    return known.get(text, default)
