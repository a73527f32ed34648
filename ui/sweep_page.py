"""Sweep: choose a search space, see what it will take, start it, watch it, stop it."""

from __future__ import annotations

import streamlit as st
from forecast import begin, show_forecast
from job_view import PERIOD_S, show_state, start, stop_button
from live_sweep import job_of, show_live
from sources import jobs, profiles, store
from sweep_form import SweepSettings, sweep_form
from values import sentence

from tune_app.errors import TuneAppError
from tune_app.jobs.job import Job
from tune_app.jobs.job_request import sweep_request
from tune_app.store.study import Study
from tune_app.tasks.catalog_process import read_catalog

LAST_LINES = 12


def show() -> None:
    """The part."""
    st.header("Sweep")
    # Evaluated once: after a stop the person looks at the sweep, not at the form.
    opened = st.session_state.setdefault("sweep_form_open", not _busy())
    with st.expander("Start a sweep", expanded=opened, icon=":material/rocket_launch:"):
        settings = sweep_form()
        if settings is not None:
            _buttons(settings)
            show_forecast(settings)
    st.fragment(_live, run_every=PERIOD_S)()


def _busy() -> bool:
    """Whether a requested sweep has not ended, or the chosen study is being written."""
    if any(job.kind == "sweep" and not job.ended for job in jobs().records.all()):
        return True
    name = st.session_state.get("study")
    return name is not None and Study(store().folder, name).being_written()


def _buttons(settings: SweepSettings) -> None:
    left, right, _ = st.columns([1, 1, 2])
    wrong = bool(settings.problems)
    check = left.button(
        "Preflight",
        icon=":material/fact_check:",
        disabled=wrong,
        width="stretch",
        help="Builds and briefly trains a few configurations, and forecasts the cost of the sweep.",
    )
    go = right.button("Start", type="primary", icon=":material/play_arrow:", disabled=wrong, width="stretch")
    if check:
        st.session_state["preflight"] = begin(settings)
        st.session_state.pop("preflight_waited", None)
    if go and not _was_just_started():
        try:
            with st.spinner("Checking the search space…"):
                request = sweep_request(
                    settings.document, settings.overrides, store(), profiles(), catalog_of=read_catalog
                )
                st.session_state["sweep_job"] = start(request).id
                st.session_state["sweep_form_open"] = False
                st.session_state.pop("preflight", None)
        except TuneAppError as error:
            st.error(sentence(error))
        else:
            st.rerun()


def _was_just_started() -> bool:
    """Whether this page's sweep still waits for Ray: a second click on Start must not start a second sweep."""
    waiting = st.session_state.get("sweep_job")
    return waiting is not None and any(j.id == waiting and j.submitted_at is None for j in _waiting())


def _waiting() -> list[Job]:
    """Requested sweeps that have no study yet."""
    studies = store().studies()
    return [job for job in jobs().all() if job.kind == "sweep" and not job.ended and job.study not in studies]


def _live() -> None:
    """What happens now; everything below is redrawn every second, everything above stays."""
    try:
        _follow_own()
        waiting = _waiting()
        for job in waiting:
            show_state(job)
            if lines := jobs().records.last_lines(job.id, LAST_LINES)[0].decode(errors="replace").splitlines():
                st.code("\n".join(lines[-LAST_LINES:]), language=None, wrap_lines=True)
            stop_button(job)
        name = st.session_state.get("study")
        if waiting and (name is None or not Study(store().folder, name).being_written()):
            return  # an older sweep's results would look like the new one's
        if name is not None:
            show_live(store().study(name), job_of(name))
        else:
            st.info("There are no studies yet. Start the first one above, or with `tune-app run`.")
    except TuneAppError as error:  # a study that was just removed, or a store that cannot be read
        st.error(sentence(error))


def _follow_own() -> None:
    """The sweep that was started here: becomes the page's study once it exists; if it never does, says why."""
    job_id = st.session_state.get("sweep_job")
    if job_id is None:
        return
    job = jobs().get(job_id)
    if job.study in store().studies():
        st.session_state["study_wanted"] = job.study
        del st.session_state["sweep_job"]
        st.rerun()
    if job.ended:
        show_state(job)
        if lines := jobs().records.last_lines(job.id, LAST_LINES)[0].decode(errors="replace").splitlines():
            st.code("\n".join(lines[-LAST_LINES:]), language=None, wrap_lines=True)
