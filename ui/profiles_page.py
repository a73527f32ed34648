"""Profiles: all of them and whether they are valid today, their values, their history, and the session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st
from profile_saving import changes
from sources import imports_nothing, profiles
from values import number, sentence

from tune_app.datasets.reference import dataset_title
from tune_app.errors import NotFound, TuneAppError
from tune_app.profiles.draft import Draft
from tune_app.profiles.profile import Profile
from tune_app.profiles.profiles import Profiles, differences
from tune_app.spaces.objective import figure_text
from tune_app.spaces.variable import GROUPS

NO_PROFILE = "There are no profiles in {folder} yet. Save one on the **Review** page, or with `tune-app profile save`."
SESSION = "the current configuration"


def show() -> None:
    """The part."""
    st.header("Profiles")
    if message := st.session_state.pop("profiles_said", None):
        st.success(message)
    with st.spinner("Checking the profiles against their tasks…"):
        loaded, invalid = _load()
    session = _session(loaded)
    if not loaded and not invalid:
        st.info(NO_PROFILE.format(folder=profiles().folder))
        return
    _list(loaded, invalid, session)
    names = [*loaded, *invalid]
    if wanted := st.session_state.pop("profile_wanted", None):
        st.session_state["profile_open"] = wanted
    if st.session_state.get("profile_open") not in names:
        st.session_state["profile_open"] = names[0]
    name = str(st.selectbox("Profile", names, key="profile_open", persist_state="session"))
    revision = _shown_revision(name)
    values, compare, history = st.tabs(["Open", "Compare", "History"], key="profile_tabs")
    with values:
        if name in invalid:
            st.error(sentence(invalid[name]))
            st.caption("Fix its file by hand, or restore an earlier revision under History.")
        _manage(name, revision)
        if name in loaded:
            _values(loaded[name])
    with compare:
        _compare(name, loaded, session)
    with history:
        _history(name, revision)


def _load() -> tuple[dict[str, Profile], dict[str, str]]:
    """The valid profiles, and what is wrong with the others."""
    loaded, invalid = {}, {}
    for name in profiles().names():
        try:
            loaded[name] = _profile(name)
        except TuneAppError as error:
            invalid[name] = str(error)
    return loaded, invalid


def _profile(name: str, revision: int | None = None) -> Profile:
    """A profile, or an earlier revision of it; read again only when the file changes."""
    return _read(str(profiles().folder), name, revision, _stamp(name))


def _revisions(name: str) -> list[int]:
    """The numbers of its revisions, the current one last."""
    return _read_revisions(str(profiles().folder), name, _stamp(name))


def _stamp(name: str) -> int:
    """A number that changes with each write: every change to a profile or its history writes its file."""
    try:
        return (profiles().folder / f"{name}.yaml").stat().st_mtime_ns
    except OSError:  # it was just removed
        return 0


@st.cache_data(max_entries=500, show_spinner=False)
def _read(folder: str, name: str, revision: int | None, stamp: int) -> Profile:
    return Profiles(folder, imports_nothing).load(name, revision)


@st.cache_data(max_entries=500, show_spinner=False)
def _read_revisions(folder: str, name: str, stamp: int) -> list[int]:
    return Profiles(folder).revisions(name)


def _session(loaded: dict[str, Profile]) -> Profile | None:
    """Say which configuration is current, and how it relates to the profiles."""
    try:
        session = profiles().session()
    except NotFound:
        st.caption("No current configuration: nothing has been applied yet, so `tune-app train` needs a profile name.")
        return None
    except TuneAppError as error:
        st.error(f"The current configuration is no longer valid: {sentence(error)}")
        return None
    same = [name for name, profile in loaded.items() if not differences(profile, session)]
    origin = _origin(session)
    text = f"**Current configuration**: {', '.join(f'**{name}**' for name in same) or session.name}"
    text += f", from {origin}" if origin else ""
    st.markdown(f"{text}, applied {_time(session.provenance.get('saved_at'))}.")
    return session


def _origin(profile: Profile) -> str:
    kept = profile.provenance
    return f"trial {kept.get('trial')} of {kept['study']}" if kept.get("study") else ""


def _time(text: Any) -> str:
    return f"{str(text)[:16].replace('T', ' ')} UTC" if text else "–"


def _list(loaded: dict[str, Profile], invalid: dict[str, str], session: Profile | None) -> None:
    rows = []
    for name, profile in loaded.items():
        kept = profile.provenance
        # With mode health it is a mean of metric and health, which is not a share of anything.
        measured = f"metric/{kept['metric']}" if kept.get("mode") in ("simple", "pareto") else ""
        rows.append(
            {
                "Profile": name,
                "Current": "yes" if session is not None and not differences(profile, session) else "",
                "Valid": "yes",
                "Revision": str(profile.revision),
                "Task": profile.task,
                "Data set": dataset_title(profile.dataset),
                "Origin": _origin(profile) or "–",
                # Nobody has measured what an edited configuration reaches.
                "Objective": "unknown" if kept.get("edited") else figure_text(measured, profile.measured),
                "Edited": str(len(kept.get("edited") or {})),
                "Saved": str(kept.get("saved_at") or "–")[:10],  # no room for the time; it is under History
            }
        )
    rows += [{"Profile": name, "Valid": "no"} for name in invalid]
    st.dataframe(pd.DataFrame(rows).fillna("–"), hide_index=True, width="stretch")


def _values(profile: Profile) -> None:
    origin = f", from {_origin(profile)}" if _origin(profile) else ""
    st.caption(f"{profile.name}, revision {profile.revision}{origin}")
    if profile.note:
        st.info(profile.note)
    variables = profile.catalog.variables
    marks = profile.provenance.get("edited") or {}
    fields = Draft.of(profile).fields
    with st.container(key="profile-values"):
        columns = st.columns(len(GROUPS))
    for column, group in zip(columns, GROUPS, strict=True):
        own = [variable for variable in variables if variable.group == group]
        edited = " \\*" if any(variable.key in marks for variable in own) else ""
        column.markdown(f"**{group.capitalize()}**{edited}")
        lines = [
            f"`{v.name}` {number(profile.config[v.name]) if fields[v.name].applies else ':gray[no effect]'}"
            + (f" (found {number(marks[v.key].get('found'))})" if v.key in marks else "")
            for v in own
        ]
        column.markdown("  \n".join(lines) or "–")
    if marks:
        st.caption("\\* edited by hand; the trial's value is next to it.")
    with st.expander("Where it comes from", icon=":material/history_edu:"):
        st.json({**profile.provenance, "constraints": list(profile.constraints)}, expanded=1)


def _shown_revision(name: str) -> int:
    """The revision that this person saw when they pressed a button: acting on a later one is a conflict."""
    shown: dict[str, int] = st.session_state.setdefault("profiles_shown", {})
    now = profiles().revisions(name)[-1]
    before, shown[name] = shown.get(name, now), now
    return before


def _manage(name: str, revision: int) -> None:
    apply, edit, rename, delete = st.columns([2, 2, 3, 3], vertical_alignment="bottom")
    if apply.button("Apply", icon=":material/check:", width="stretch", help="Makes it the current configuration."):
        _do(lambda: profiles().apply(profiles().load(name)), f"**{name}** is now the current configuration.")
    if edit.button("Edit", icon=":material/edit:", width="stretch", help="Opens it on the Review page."):
        st.session_state["review_source"] = "A profile"
        st.session_state["review_profile"] = name
        st.switch_page(st.session_state["pages"]["review"])
    with rename.popover("Rename…", icon=":material/edit_note:", width="stretch"):
        new = st.text_input("New name", key=f"rename {name}").strip()
        if st.button("Rename", disabled=not new or new == name):
            st.session_state["profile_wanted"] = new
            if not _do(
                lambda: profiles().rename(name, new, loaded_revision=revision),
                f"Renamed **{name}** to **{new}**.",
            ):
                del st.session_state["profile_wanted"]
    with delete.popover("Delete…", icon=":material/delete:", width="stretch"):
        st.markdown(f"Delete **{name}** (revision {revision})? Its revisions stay in the history.")
        if st.button("Delete", type="primary", key=f"delete {name}"):
            _do(
                lambda: profiles().delete(name, loaded_revision=revision),
                f"**{name}** was deleted; `tune-app profile show {name} --revision {revision}` still shows it.",
            )


def _do(work: Callable[[], object], done: str) -> bool:
    """Change the profiles, then show them again; shows an error in place."""
    try:
        work()
    except TuneAppError as error:
        st.error(sentence(error))
        return False
    st.session_state["profiles_said"] = done
    st.rerun()


def _compare(name: str, loaded: dict[str, Profile], session: Profile | None) -> None:
    """Any two of the profiles, their earlier revisions, and the session."""
    options: list[str] = []
    for known in loaded:
        former = _revisions(known)[:-1]
        options += [known, *(f"{known}@{revision}" for revision in reversed(former))]
    options += [SESSION] if session is not None else []
    if len(options) < 2:
        st.caption(
            "There is nothing to compare with yet: no second profile, no earlier revision, no current configuration."
        )
        return
    left, right = st.columns(2)
    if st.session_state.get("compare_old") not in options:
        st.session_state["compare_old"] = name if name in options else options[0]
    if st.session_state.get("compare_new") not in options:
        st.session_state["compare_new"] = next(o for o in options if o != st.session_state["compare_old"])
    old = str(left.selectbox("Compare", options, key="compare_old", persist_state="session"))
    new = str(right.selectbox("with", options, key="compare_new", persist_state="session"))
    try:
        found = differences(_named(old, session), _named(new, session))
    except TuneAppError as error:
        st.error(sentence(error))
        return
    if not found:
        st.success("No difference in any value.")
        return
    rows = [{"Variable": key, old: _shown(a, b), f"{new} ": _shown(b, a)} for key, (a, b) in found.items()]
    st.table(pd.DataFrame(rows).set_index("Variable"))


def _shown(value: Any, other: Any) -> str:
    """Four significant digits, or all of them if the two differ only after the fourth."""
    return number(value) if number(value) != number(other) else repr(value)


def _named(text: str, session: Profile | None) -> Profile:
    """The profile that ``name``, ``name@revision`` or the session refers to."""
    if text == SESSION and session is not None:
        return session
    name, at, revision = text.partition("@")
    return _profile(name, int(revision) if at else None)


def _history(name: str, shown: int) -> None:
    numbers = _revisions(name)
    former: Profile | None = None
    lines: list[tuple[int, str]] = []
    for revision in numbers:
        try:
            found = _profile(name, revision)
        except TuneAppError as error:
            lines.append((revision, f"**Revision {revision}** is no longer valid: {sentence(error)}"))
            continue
        what = changes(differences(former, found)) if former is not None else ""
        note = f" {found.note}" if found.note else ""
        origin = f", from {_origin(found)}" if _origin(found) else ""
        head = f"**Revision {revision}**, saved {_time(found.provenance.get('saved_at'))}{origin}.{note}"
        lines.append((revision, f"{head}\n\n{what or ('The first.' if former is None else 'No value changed.')}"))
        former = found
    for revision, text in reversed(lines):
        with st.container(border=True):
            told, button = st.columns([5, 1])
            told.markdown(text)
            if revision == numbers[-1]:
                button.caption("the current one")
            elif button.button("Restore", key=f"restore {name} {revision}", help="Saves it again; nothing is lost."):
                _do(
                    lambda revision=revision: _restore(name, revision, shown),  # type: ignore[misc]
                    f"Revision {revision} of **{name}** was restored as revision {numbers[-1] + 1}.",
                )


def _restore(name: str, revision: int, loaded: int) -> None:
    """Restore an earlier revision, unless someone else saved the profile in the meantime."""
    profiles().save(replace(profiles().load(name, revision), name=name), loaded_revision=loaded)
