"""Review: one configuration as a form, each field with its range and the study's value, and what you can do with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st
from drafts import drafts, forget, is_unsaved, keep, trial_subject
from following import say_state
from job_view import follow, start
from profile_saving import changes, save_panel
from sources import chosen_study, profiles, said, spec_of
from values import escaped, measured, number, sentence

from tune_app.errors import TuneAppError
from tune_app.jobs.job_request import training_request
from tune_app.profiles.draft import Draft, DraftField
from tune_app.profiles.profile import Profile, from_trial
from tune_app.readable import in_words
from tune_app.results.review import config_of, ranked_trials, trial_row
from tune_app.spaces.variable import GROUPS, Categorical, Int, Value, Variable
from tune_app.store.study import Study

TRIAL, PROFILE = "A trial", "A profile"


def show() -> None:
    """The part."""
    st.header("Review")
    subject = _choose()
    form, actions = st.columns([5, 3], gap="medium")
    with form.container(key="review-variables"):
        _form(subject)
    with actions:
        _actions(subject)


def _choose() -> str:
    """Let the person choose a trial or a profile; the subject whose draft is edited."""
    with st.container(key="review-source"):
        left, right = st.columns([1, 3], vertical_alignment="bottom")
    names = profiles().names()
    st.session_state.setdefault("review_source", TRIAL)
    with left:
        source = st.segmented_control(
            "Configuration of",
            [TRIAL, PROFILE],
            key="review_source",
            required=True,
            disabled=not names,
            persist_state="session",
        )
    with right:
        if source == PROFILE and names:
            name = st.selectbox("Profile", names, key="review_profile", persist_state="session")
            return _profile_subject(str(name))
        return _trial_subject(chosen_study())


def _trial_subject(study: Study) -> str:
    with said():
        ranked, objective = ranked_trials(study), study.document()["objective"]
    if ranked.empty:
        say_state(study, ranked)
        st.stop()
    if ranked.iloc[0]["state"] != "COMPLETED":
        st.warning(
            "No trial of this study completed, so there is no best one. You can still look at the configurations."
        )
    labels = {int(row["trial"]): _label(row, objective["metric"]) for _, row in ranked.iterrows()}
    best = int(ranked.iloc[0]["trial"])
    if ranked.iloc[0]["state"] == "COMPLETED":
        labels[best] += " · the best"
    key = f"review_trial {study.name}"
    if st.session_state.get(key) not in labels:
        st.session_state[key] = best
    trial = int(
        st.selectbox("Trial", list(labels), key=key, format_func=lambda n: labels[n], persist_state="session") or 0
    )
    subject = trial_subject(study.name, trial)
    with said(), st.spinner("Loading the trial…"):
        row = trial_row(study, trial)
        draft = drafts().get(subject)
        # A study that was removed and run again under the same name has other values.
        if draft is None or config_of(row, draft.space.variables) != draft.found.config:
            found = from_trial(study, row, f"{study.name}-{trial}"[:64])
            _begin(subject, Draft.of(found, spec_of(study).space))
    return subject


def _label(row: pd.Series[Any], metric: str) -> str:
    value = row.get(f"metric/{metric}")
    reached = (
        f" · {in_words(metric).lower()} {measured(metric, float(value))}"
        if value is not None and not pd.isna(value)
        else ""
    )
    state = "" if row["state"] == "COMPLETED" else f" · {row['state'].lower()}"
    return f"trial {int(row['trial'])}{reached}{state}"


def _profile_subject(name: str) -> str:
    subject = f"profile {name}"
    with said(), st.spinner("Loading the profile…"):
        now = profiles().load(name)
    draft = drafts().get(subject)
    if draft is None or (now.revision != draft.found.revision and not is_unsaved(subject)):
        with said():
            _begin(subject, Draft.of(now))
    elif now.revision != draft.found.revision:
        st.warning(
            f"**{name}** has changed: revision {draft.found.revision} was loaded, and revision {now.revision} is now "
            "current. Nothing is overwritten unless you confirm it; *Save to profile* shows both."
        )
    return subject


def _begin(subject: str, draft: Draft) -> None:
    """Restart a draft."""
    forget(subject)
    drafts()[subject] = draft


def _key(subject: str, name: str) -> str:
    return f"{subject} | {name}"


def _form(subject: str) -> None:
    fields = drafts()[subject].fields
    tabs = st.tabs([group.capitalize() for group in GROUPS], key="review_tabs")
    for group, tab in zip(GROUPS, tabs, strict=True):
        with tab:
            own = [field for field in fields.values() if field.variable.group == group]
            if not own:
                st.caption("The task has no variables in this group.")
            for field in own:
                _field(subject, field)


def _field(subject: str, field: DraftField) -> None:
    name = field.variable.name
    with st.container(border=True):
        entry, about, reset = st.columns([9, 13, 2], vertical_alignment="top")
        with entry:
            _widget(subject, field)
        with about:
            st.markdown(_about(field))
        with reset:
            st.button(
                "",
                icon=":material/undo:",
                key=_key(subject, f"reset {name}"),
                help=f"Reset {name}",
                disabled=not field.changed,
                on_click=_reset,
                args=(subject, name),
            )
        for problem in field.problems:
            st.markdown(f":material/error: :red[{sentence(problem)}]")


def _widget(subject: str, field: DraftField) -> None:
    """The widget that fits the type, filled from the draft so that nothing is lost between parts."""
    variable, key = field.variable, _key(subject, field.variable.name)
    st.session_state.setdefault(key, _as_widget(variable, field.entered))
    given: dict[str, Any] = {
        "label": variable.name,
        "key": key,
        "disabled": not field.applies,
        "on_change": _enter,
        "args": (subject, variable.name),
    }
    match variable.domain:
        case Categorical() if _is_switch(variable):
            st.toggle(**given)
        case Categorical(choices):
            options = list(choices) if field.entered in choices else [*choices, field.entered]
            st.selectbox(options=options, format_func=str, **given)
        case Int(step=step):
            st.number_input(step=step, **given)
        case _:
            st.text_input(**given)


def _is_switch(variable: Variable) -> bool:
    return isinstance(variable.domain, Categorical) and set(variable.domain.choices) == {True, False}


def _as_widget(variable: Variable, value: Value) -> Value:
    """The value as the widget holds it: floats are text, which keeps every digit and accepts 1e-4."""
    return value if isinstance(variable.domain, (Categorical, Int)) else str(value)


def _about(field: DraftField) -> str:
    """Marks, description, range, and the value that the study found."""
    variable = field.variable
    marks = ":orange-badge[:material/edit: changed] " if field.changed else ""
    if not field.applies:
        reason = f"only if `{variable.when}`" if variable.when else "under the study's conditions"
        marks += f":gray-badge[has no effect now] {reason}  \n"
    ranges = "Yes or no." if _is_switch(variable) else f"{_capital(variable.domain.describe())}."
    if field.searched is not None and field.searched != variable.domain and not _is_switch(variable):
        ranges += f" Searched: {field.searched.describe()}."
    found = f":small[found: **{escaped(number(field.found))}**]"
    return f"{marks}{found}  \n:small[{escaped(variable.description)} :gray[{escaped(ranges)}]]"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _enter(subject: str, name: str) -> None:
    drafts()[subject] = drafts()[subject].with_entry(name, st.session_state[_key(subject, name)])


def _reset(subject: str, name: str) -> None:
    draft = drafts()[subject].without_entry(name)
    drafts()[subject] = draft
    st.session_state[_key(subject, name)] = _as_widget(draft.space.by_name[name], draft.found.config[name])


def _reset_all(subject: str) -> None:
    _begin(subject, drafts()[subject].reset())


def _note(subject: str) -> None:
    drafts()[subject] = replace(drafts()[subject], note=st.session_state[_key(subject, "the note")])


def _actions(subject: str) -> None:
    draft = drafts()[subject]
    with st.container(border=True):
        if draft.changed:
            st.markdown(f"**{len(draft.changed)} changed**")
            st.markdown(changes({f.variable.key: (f.found, f.entered) for f in draft.changed}))
        else:
            st.markdown("No changes yet.")
        st.button(
            "Reset all",
            icon=":material/undo:",
            key=_key(subject, "reset all"),
            disabled=not (draft.changed or draft.note != draft.found.note),
            on_click=_reset_all,
            args=(subject,),
        )
        st.session_state.setdefault(_key(subject, "the note"), draft.note)
        st.text_area("Note", key=_key(subject, "the note"), height=80, on_change=_note, args=(subject,))
    if draft.problems:
        st.error(
            "You cannot apply, save or train this yet:\n\n" + "\n".join(f"- {sentence(p)}" for p in draft.problems)
        )
        return
    with said():
        profile = draft.profile(draft.found.name)
    _apply(subject, profile)
    with st.container(border=True):
        save_panel(subject, profile)
    _train(subject, profile)


def _apply(subject: str, profile: Profile) -> None:
    with st.container(border=True):
        st.markdown("**Apply**")
        st.caption("Makes it the current configuration, which `tune-app train` uses by default.")
        if st.button("Apply", key=_key(subject, "apply"), icon=":material/check:"):
            try:
                profiles().apply(profile)
            except TuneAppError as error:
                st.error(sentence(error))
                return
            keep(subject)
            st.session_state["review_said"] = f"**{profile.name}** is now the current configuration."
            st.rerun()
        if message := st.session_state.pop("review_said", None):
            st.success(message)


def _train(subject: str, profile: Profile) -> None:
    with st.container(border=True):
        st.markdown("**Train with this**")
        st.caption("A full training run with these values, as a job; saves a checkpoint and metrics in the store.")
        jobs_of = st.session_state.setdefault("training_jobs", {})
        if st.button("Train with this", key=_key(subject, "train"), icon=":material/model_training:"):
            try:
                with st.spinner("Submitting the training…"):
                    jobs_of[subject] = start(training_request(profile)).id
            except TuneAppError as error:
                st.error(sentence(error))
        if subject in jobs_of:
            follow(jobs_of[subject])
