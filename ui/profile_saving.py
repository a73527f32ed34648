"""Saving a configuration to a profile: shows what changes, and never overwrites a revision that nobody looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import streamlit as st
from drafts import drafts, keep
from sources import profiles
from values import number, sentence

from tune_app.errors import Conflict, TuneAppError
from tune_app.naming import check_name
from tune_app.profiles.draft import Draft
from tune_app.profiles.profile import Profile
from tune_app.profiles.profiles import WHAT, differences

NEW, EXISTING = "A new profile", "An existing one"


def changes(found: Mapping[str, tuple[Any, Any]]) -> str:
    """Differences as a list: the variable, its old value, its new value."""
    return "\n".join(f"- `{key}`: {_code(*pair)}" for key, pair in found.items())


def _code(before: Any, after: Any) -> str:
    shown = number(before), number(after)
    if shown[0] == shown[1]:  # they differ after the fourth digit
        shown = repr(before), repr(after)
    return " → ".join(f"`{text.replace('`', '´') or ' '}`" for text in shown)


def save_panel(subject: str, profile: Profile) -> None:
    """The panel that saves `profile`, the draft of `subject`."""
    st.markdown("**Save to profile**")
    names = profiles().names()
    own = subject.removeprefix("profile ") if subject.startswith("profile ") else None
    if saved := st.session_state.pop(f"{subject} | saved as", None):  # the next save is a revision of it
        st.session_state[f"{subject} | target"], st.session_state[f"{subject} | existing"] = EXISTING, saved
    st.session_state.setdefault(f"{subject} | target", EXISTING if own in names else NEW)
    target = st.radio(
        "Save to",
        [NEW, EXISTING] if names else [NEW],
        key=f"{subject} | target",
        horizontal=True,
        label_visibility="collapsed",
        persist_state="session",
    )
    if target == NEW:
        _save_new(subject, profile, names)
    else:
        _save_existing(subject, profile, names, own)
    if message := st.session_state.pop("saved_said", None):
        st.success(message)


def _save_new(subject: str, profile: Profile, names: list[str]) -> None:
    name = st.text_input(
        "Name of the profile",
        key=f"{subject} | new name",
        placeholder="digits-best",
        help="Lowercase letters, digits, - and _; at most 64.",
        persist_state="session",
    ).strip()
    taken, wrong = name in names, ""
    try:
        check_name(WHAT, name)
    except TuneAppError as error:
        wrong = sentence(error)
    if name and wrong:
        st.warning(wrong)
    elif taken:
        st.warning(f"The profile **{name}** already exists. Choose *{EXISTING}* to see what would change in it.")
    if st.button("Save", key=f"{subject} | save new", icon=":material/save:", disabled=bool(wrong) or taken):
        _save(subject, profile, name, 0)


def _save_existing(subject: str, profile: Profile, names: list[str], own: str | None) -> None:
    if st.session_state.setdefault(f"{subject} | existing", own) not in names:
        st.session_state[f"{subject} | existing"] = None  # propose no profile to overwrite
    name = st.selectbox(
        "Profile",
        names,
        index=None,
        key=f"{subject} | existing",
        placeholder="Choose the profile to change",
        persist_state="session",
    )
    if name is None:
        return
    try:
        now = profiles().load(name)
    except TuneAppError as error:
        st.error(f"{sentence(error)}\n\nSave under another name instead.")
        return
    # The revision that this person has seen: a save builds on it.
    looked_at = st.session_state.setdefault(f"{subject} | looked at", {})
    draft = drafts()[subject]
    seen = looked_at.setdefault(name, draft.found.revision if name == own else now.revision)
    if seen != now.revision:
        _changed_meanwhile(subject, profile, name, seen, now)
        return
    found = differences(now, profile)
    if found:
        st.markdown(f"Changes revision {now.revision} of **{name}**:\n\n{changes(found)}")
    else:
        st.caption(f"The same values as revision {now.revision} of {name}.")
    if st.button("Save", key=f"{subject} | save existing", icon=":material/save:"):
        _save(subject, profile, name, seen)


def _changed_meanwhile(subject: str, profile: Profile, name: str, seen: int, now: Profile) -> None:
    """Someone else saved it: show theirs and ours, and let the person decide."""
    st.warning(
        f"**{name}** has changed: you looked at revision {seen}, and revision {now.revision} is now current. Nothing "
        "was overwritten. Save on top of it, or save as a new profile.",
        icon=":material/merge:",
    )
    try:
        theirs = differences(profiles().load(name, seen), now)
        st.markdown(f"Revision {now.revision} changed:\n\n{changes(theirs) or '- no value'}")
    except TuneAppError as error:  # that revision was not stored, or is no longer valid
        st.caption(sentence(error))
    try:
        mine = _on_top(subject, profile, now)
    except TuneAppError as error:  # the two sets of changes conflict
        st.error(f"Your changes do not fit on top of revision {now.revision}: {sentence(error)}")
        return
    st.markdown(f"Yours would change in revision {now.revision}:\n\n{changes(differences(now, mine)) or '- no value'}")
    shown: dict[str, int] = st.session_state.setdefault(f"{subject} | shown", {})
    before, shown[name] = shown.get(name), now.revision
    pressed = st.button(
        f"Save on top of revision {now.revision}", key=f"{subject} | save on top", icon=":material/save_as:"
    )
    if pressed and before == now.revision:  # otherwise yet another revision was saved before the button was pressed
        _save(subject, mine, name, now.revision)


def _on_top(subject: str, profile: Profile, now: Profile) -> Profile:
    """What this person saves on top of another's revision.

    If they edited the profile, their changed values are set and the others stay; a trial replaces all values.
    """
    if subject != f"profile {now.name}":
        return profile
    draft = drafts()[subject]
    edits = {field.variable.key: field.entered for field in draft.changed}
    return replace(now.edited(edits), note=draft.note if draft.note != draft.found.note else now.note)


def _save(subject: str, profile: Profile, name: str, loaded_revision: int) -> None:
    try:
        saved = profiles().save(replace(profile, name=name), loaded_revision=loaded_revision)
    except Conflict:  # saved at this very moment; the next rerun shows both
        st.rerun()
    except TuneAppError as error:
        st.error(sentence(error))
        return
    st.session_state.setdefault(f"{subject} | looked at", {})[name] = saved.revision
    if subject == f"profile {name}":
        drafts()[subject] = Draft.of(saved)
    keep(subject)
    st.session_state[f"{subject} | saved as"] = name
    st.session_state["saved_said"] = f"Saved **{name}**, revision {saved.revision}."
    st.rerun()
