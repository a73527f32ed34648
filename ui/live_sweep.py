"""A study while it runs: counts, the best so far, how far each running trial is, and what went wrong."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from figure_tools import show_chart
from job_view import show_state, stop_button
from sources import epochs_of, jobs, trials_of
from steering_form import change_form, stop_trial_button
from trial_log import has_log, show_log
from trial_panel import SOURCES
from values import escaped, measured, number, sentence

from tune_app.cli.progress import duration
from tune_app.errors import TuneAppError
from tune_app.jobs.job import Job
from tune_app.readable import in_words
from tune_app.results import plots
from tune_app.results.trial_curve import trial_curve
from tune_app.spaces.section import Objective
from tune_app.store.study import Study

SHOWN_TRIALS = 8
LOW = 300
"""Height of the figures, in pixels."""
SHOWN_ERRORS = 5
STATES = ("COMPLETED", "PRUNED", "FAILED", "RUNNING")
KINDS = {
    "error": "raised an error",
    "diverged": "diverged",
    "oom": "ran out of memory",
    "lost": "was lost with its process or machine",
}


def show_live(study: Study, job: Job | None) -> None:
    """The study's current state."""
    try:
        live, running = study.json("live.json"), study.being_written()
        document = study.document()
    except TuneAppError as error:  # it is being removed, or damaged
        st.error(sentence(error))
        return
    if "trials" not in live:
        st.info(f"No trial of **{study.name}** has started{' yet' * running}.")
        _job(job)
        return
    counts, total = live["trials"], live.get("total") or 0
    ended = sum(count for state, count in counts.items() if state != "RUNNING")
    state = _state(study, live, running)
    st.markdown(f"**{study.name}** {state}")
    st.progress(min(1.0, ended / max(1, total)), text=f"{ended} of {total} trials ended{_cancelled(counts)}")
    trials = trials_of(study)
    _tiles(live, trials, document["objective"], running)
    _job(job)
    if running:
        change_form(study, live)
        _running(study, live)
        _figures(study, live, trials)
    _errors(trials)


def _cancelled(counts: dict[str, int]) -> str:
    """Trials that were stopped unfinished, which no tile counts."""
    return f", {counts['CANCELLED']} of them cancelled" if counts.get("CANCELLED") else ""


def _job(job: Job | None) -> None:
    if job is None:
        return
    if job.state in ("QUEUED", "RUNNING"):
        show_state(job)
        stop_button(job)
    elif job.state != "SUCCEEDED":
        show_state(job)


def _state(study: Study, live: dict[str, Any], running: bool) -> str:
    if running:
        waiting = "" if live.get("slots", 1) else ", waiting for a machine"
        return f"has been running for {duration(live.get('elapsed_s') or 0)}{waiting}."
    if live.get("state") == "running":
        return f"was interrupted. `tune-app resume {study.name}` continues it."
    return "has ended."


def _tiles(live: dict[str, Any], trials: pd.DataFrame, objective: dict[str, Any], running: bool) -> None:
    counts = live["trials"]
    first = st.columns(4)
    for tile, state in zip(first, STATES, strict=True):
        tile.metric(state.capitalize(), counts.get(state, 0), border=True)
    metric, best = objective["metric"], live.get("best")
    simple = objective["mode"] == "simple"
    values = trials[trials["state"] == "COMPLETED"].get(f"metric/{metric}", pd.Series(dtype=float))
    top = values.max() if objective["direction"] == "maximize" else values.min()
    if simple and best:  # the table is written a moment later than the live state
        top = best["objective"]
    # A score of metric and health is not a share of anything, so it is shown as a plain number.
    score = best and (measured(metric, best["objective"]) if simple else number(best["objective"]))
    second = st.container(key="sweep-tiles").columns(4)
    second[0].metric(
        f"Best {in_words(metric).lower()}", "–" if pd.isna(top) else measured(metric, float(top)), border=True
    )
    second[1].metric(f"Best score (trial {best['trial']})" if best else "Best score", score or "–", border=True)
    mean, left = live.get("mean_duration_s"), live.get("left_s") if running else None
    second[2].metric("Average duration", "–" if mean is None else f"{number(float(mean))} s", border=True)
    if running:
        second[3].metric("Time left (estimate)", "–" if left is None else duration(left), border=True)
    else:
        took = live.get("elapsed_s")
        second[3].metric("Duration", "–" if took is None else duration(took), border=True)


def _figures(study: Study, live: dict[str, Any], trials: pd.DataFrame) -> None:
    """The best so far, and the curves of the running trials; and where the configurations come from."""
    objective = Objective.model_validate(study.document()["objective"])
    best = live["best"]["trial"] if live.get("best") else None
    left, right = st.container(key="sweep-figures").columns(2)
    if len(trials):
        show_chart(
            f"{study.name}-live-history-chart",
            f"{study.name}-history",
            _low(plots.optimization_history(trials, objective)),
            "The best so far",
            lambda: trials[["trial", "state", "objective"]],
            place=left,
            key=f"{study.name}-live-history",
        )
    running = [trial["trial"] for trial in (live.get("running") or [])[:SHOWN_TRIALS]]
    if running:
        epochs = epochs_of(study)
        show_chart(
            f"{study.name}-live-curves-chart",
            f"{study.name}-running",
            _low(trial_curve(epochs, running, best, objective)),
            "Learning curves of the running trials",
            lambda: epochs[epochs["trial"].isin(running)],
            place=right,
            key=f"{study.name}-live-curves",
        )
    sources = Counter(
        [*trials["source"].dropna(), *(t["source"] for t in live.get("running") or [] if t.get("source"))]
    )
    if sources:
        told = ", ".join(
            f"{count:,} from {SOURCES.get(str(source), source)}" for source, count in sources.most_common()
        )
        st.caption(f"Configurations so far: {told}.")


def _low(figure: go.Figure) -> go.Figure:
    """The figure, sized to fit next to another one."""
    return plots.set_height(figure.update_layout(title=None, margin_t=12), LOW)


def _running(study: Study, live: dict[str, Any]) -> None:
    trials = live.get("running") or []
    if not trials:
        return
    told = [trial for trial in trials if trial["value"] is not None]
    sign = -1 if live.get("direction") == "minimize" else 1
    top = max(told, key=lambda trial: sign * trial["value"], default=None)
    ahead = "" if top is None else f" · trial {top['trial']} is ahead with {measured(live['metric'], top['value'])}"
    st.markdown(f"**Running trials**{ahead}")
    rows = st.container(key="running-trials")
    for trial in trials[:SHOWN_TRIALS]:
        fraction = trial["fraction"] or 0.0
        done = (trial["epoch"] + fraction) / max(1, trial["epochs"])
        batches = f", {100 * fraction:.0f}% of its batches" if trial["fraction"] is not None else ""
        value = (
            ""
            if trial["value"] is None
            else f" · {in_words(live['metric']).lower()} {measured(live['metric'], trial['value'])}"
        )
        epoch = min(trial["epochs"], trial["epoch"] + 1)
        bar, stop = rows.columns([7, 1], vertical_alignment="bottom")
        bar.progress(
            min(1.0, done),
            text=f"trial {trial['trial']} · epoch {epoch} of {trial['epochs']}{batches}{value} · "
            f"{duration(trial['seconds'])}",
        )
        with stop:
            stop_trial_button(study, trial["trial"])
    if len(trials) > SHOWN_TRIALS:
        st.caption(f"and {len(trials) - SHOWN_TRIALS} more")
    _log(study, [trial["trial"] for trial in trials])


def _log(study: Study, running: list[int]) -> None:
    """What a running trial prints, on request; it stays after the trial has ended."""
    key = f"{study.name}-live-log"
    chosen = st.session_state.get(key)
    options = sorted({*running, *([] if chosen is None else [chosen])})
    st.selectbox(
        "Log of a trial", options, index=None, format_func="Trial {}".format, placeholder="Choose a trial", key=key
    )
    if chosen is None:
        return
    if has_log(study, chosen):
        show_log(study, chosen)
    else:
        st.caption(f"Trial {chosen} has printed nothing yet.")


def _errors(trials: pd.DataFrame) -> None:
    failed = trials[trials["state"] == "FAILED"].sort_values("ended_at", ascending=False)
    if failed.empty:
        return
    st.markdown("**Latest errors**")
    for _, row in failed.head(SHOWN_ERRORS).iterrows():
        kind = KINDS.get(str(row["failure_kind"]), "failed")
        st.error(f"Trial {row['trial']} {kind}: {escaped(row['error'] or 'no details')}", icon=":material/error:")
    if len(failed) > SHOWN_ERRORS:
        st.caption(f"and {len(failed) - SHOWN_ERRORS} more; the Trials page lists them all")


def job_of(study: str) -> Job | None:
    """The newest job that writes the study; None for one that was started in a terminal."""
    found = [job for job in jobs().records.all() if job.study == study]
    newest = max(found, key=lambda job: job.requested_at, default=None)
    return None if newest is None else jobs().get(newest.id)
