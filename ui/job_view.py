"""Jobs on the page: submitted to Ray without blocking the page, followed live, stopped."""

from __future__ import annotations

import os
import threading

import streamlit as st
from sources import jobs, said
from values import measured, sentence

from tune_app.errors import TuneAppError
from tune_app.jobs.job import Job
from tune_app.jobs.job_request import JobRequest
from tune_app.jobs.jobs import SILENT_S, Jobs
from tune_app.readable import in_words

PERIOD_S = 1.0
LAST_LINES = 14
WORDS = {
    "QUEUED": "waiting for Ray; the first job on this machine starts it, which takes about ten seconds",
    "RUNNING": "running",
    "SUCCEEDED": "done",
    "FAILED": "failed",
    "CANCELLED": "stopped",
}


def address() -> str | None:
    """The cluster's job server, as the command line and the API choose it; otherwise this machine's own head."""
    return os.environ.get("RAY_API_SERVER_ADDRESS") or os.environ.get("RAY_ADDRESS") or None


def start(request: JobRequest) -> Job:
    """Record a job immediately, and submit it to Ray in the background; if that fails, its record says why.

    Raises:
        Conflict: the name of the study is taken.
    """
    opened = jobs()
    job = opened.accept(request, address=address())
    threading.Thread(target=_give, args=(opened, job, request), name=f"give {job.id}", daemon=True).start()
    return job


def _give(opened: Jobs, job: Job, request: JobRequest) -> None:
    try:
        opened.give(job, request)
    except TuneAppError:
        pass  # the page shows the record, which has it
    except Exception as error:
        opened.records.end(job.id, "FAILED", reason="error", message=f"{type(error).__name__}: {error}")
        raise


def follow(job_id: str) -> None:
    """The job's state and the end of its log, refreshed until it ends."""
    with said():
        job = jobs().get(job_id)
    st.fragment(_show, run_every=None if job.ended else PERIOD_S)(job_id)


def _show(job_id: str) -> None:
    with said():
        job = jobs().get(job_id)
    shown = st.session_state.setdefault("jobs_followed", {})
    show_state(job)
    _training(job)
    log = jobs().records.last_lines(job_id, LAST_LINES)[0].decode(errors="replace").splitlines()
    if log:
        st.code("\n".join(log[-LAST_LINES:]), language=None, wrap_lines=True)
    if not job.ended:
        stop_button(job)
    elif shown.get(job_id) is False:  # it ended meanwhile: nothing more to refresh
        shown[job_id] = True
        st.rerun()
    shown[job_id] = job.ended


def _training(job: Job) -> None:
    """A training's progress and latest metrics."""
    live = jobs().progress(job)
    if job.kind != "training" or live is None:
        return
    done, epochs, fraction = live["epoch"], live["epochs"], live["fraction"] or 0.0
    batches = f", {100 * fraction:.0f}% of its batches" if live["fraction"] is not None else ""
    st.progress(
        min(1.0, (done + fraction) / max(1, epochs)), text=f"epoch {min(epochs, done + 1)} of {epochs}{batches}"
    )
    if live["metrics"]:
        st.markdown(
            "  \n".join(f"{in_words(name)} **{measured(name, value)}**" for name, value in live["metrics"].items())
        )
    if job.state == "SUCCEEDED":
        st.caption(f"Checkpoint and metrics: {jobs().store.folder.path(f'trainings/{job.id}')}")


def show_state(job: Job) -> None:
    """The job's state in a sentence; it mentions a missing heartbeat, because then the state may be outdated."""
    text = f"Job **{job.id}**: {WORDS[job.state]}."
    if job.state == "FAILED":
        st.error(f"{text} {sentence(job.message or '')}", icon=":material/error:")
    elif job.state == "SUCCEEDED":
        st.success(text, icon=":material/check_circle:")
    else:
        st.info(
            f"{text} {sentence(job.message or '')}".strip(), icon=":material/hourglass_top:" if not job.ended else None
        )
    silence = None if job.ended else jobs().records.silence_s(job.id)
    if silence is not None and silence > SILENT_S:
        server = job.address or f"the Ray head on {job.host}"
        st.warning(f"No heartbeat for {silence:.0f} s, and {server} does not know what happened to it.")


def stop_button(job: Job) -> None:
    """A button that stops the job; what it finished is kept."""
    if not st.button("Stop", key=f"stop {job.id}", icon=":material/stop_circle:"):
        return
    try:
        with st.spinner("Stopping: running trials may take a few seconds to end…"):
            jobs().cancel(job.id)
    except TuneAppError as error:
        st.error(sentence(error))
    else:
        st.rerun()
