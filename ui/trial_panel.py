"""One trial next to the page: its result, its configuration, its training, and what you can do with it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import streamlit as st
from columns import shown, title
from figure_tools import show_chart
from sources import epochs_of
from steering_form import retry_button
from trial_actions import action, architecture, review, toggle_compared, train
from trial_log import has_log, show_log
from trial_notes_form import show_notes, show_star
from values import escaped, number

from tune_app.readable import counted, in_words
from tune_app.results.review import config_of
from tune_app.results.trial_curve import trial_curve
from tune_app.spaces.spec import Spec
from tune_app.spaces.variable import GROUPS, Config
from tune_app.store.study import Study
from tune_app.store.trial_row import TrialState
from tune_app.training.health import SCORES

MARKS = {"COMPLETED": "green", "PRUNED": "gray", "FAILED": "red", "CANCELLED": "orange", "RUNNING": "blue"}
SOURCES = {
    "default": "the task's defaults",
    "start": "a starting configuration",
    "history": "past studies",
    "random": "a random draw",
    "model": "the sampler's model",
    "grid": "the grid",
}
FACTS = (
    "epochs",
    "duration_s",
    "node",
    "device",
    "gpu_fraction",
    "gpu_utilization",
    "peak_memory_mb",
    "model_parameters",
    "latency_ms",
)
MORE_FACTS = ("seed", "attempt", "resumed_from", "started_at", "ended_at", "trial_id")
PANEL = "trial-panel"
KEYS = Path(__file__).with_name("panel_keys.js").read_text(encoding="utf-8")


def opened_trial(study: str) -> int | None:
    """The number of the open trial; None if none is open."""
    found: int | None = st.session_state.get(f"{study}-open")
    return found


def open_trial(study: str, trial: int | None) -> None:
    """Open a trial next to the page; None closes it."""
    st.session_state[f"{study}-open"] = trial


def show_panel(study: Study, spec: Spec, trials: pd.DataFrame, listed: pd.DataFrame) -> None:
    """The open trial; nothing if none is open.

    Args:
        trials: all trials of the study, the best first.
        listed: those that meet the filter, in the order of the list; the arrow keys step through them.
    """
    _lead_from_table(study.name)
    trial = opened_trial(study.name)
    if trial is None:
        return
    found = trials[trials["trial"] == trial]
    with st.container(key=PANEL):
        _steps(study.name, trial, [int(n) for n in listed["trial"]])
        if found.empty:
            st.info(f"Trial {trial} has not ended yet, or does not exist in this study.")
            return
        row = found.iloc[0]
        best = trials.iloc[0]
        won = int(best["trial"]) if best["state"] == TrialState.COMPLETED else None
        _head(spec, row, trials)
        _buttons(study, trial)
        _failure(row)
        with st.expander("Note and tags", expanded=bool(row["tags"] or row["note"])):
            show_notes(study, trial)
        epochs = epochs_of(study)
        show_chart(
            f"{study.name}-panel-chart",
            f"{study.name}-trial-{trial}",
            trial_curve(epochs, [trial], won, spec.objective),
            f"Learning curve of trial {trial}",
            lambda: epochs[epochs["trial"] == trial],
            key=f"{study.name}-panel-curve",
        )
        _parameters(spec, row, None if won in (None, trial) else best)
        _figures(spec, row)
        _log(study, row)


def _steps(study: str, trial: int, order: list[int]) -> None:
    """Buttons for the previous and the next trial, and to close this one."""
    place = order.index(trial) if trial in order else -1
    before = order[place - 1] if place > 0 else None
    after = order[place + 1] if place + 1 < len(order) else None
    with st.container(horizontal=True, vertical_alignment="center"):
        for label, icon, target, key in (
            ("Previous", "arrow_back", before, "Left"),
            ("Next", "arrow_forward", after, "Right"),
        ):
            st.button(
                label,
                icon=f":material/{icon}:",
                key=f"{study}-panel-{label}",
                type="tertiary",
                shortcut=key,
                disabled=target is None,
                on_click=open_trial,
                args=(study, target),
            )
        st.space("stretch")
        st.button(
            "Close",
            icon=":material/close:",
            key=f"{study}-panel-close",
            type="tertiary",
            shortcut="Esc",
            on_click=open_trial,
            args=(study, None),
        )


def _lead_from_table(study: str) -> None:
    """Let the arrow keys work while the table has the focus, as it does after a click on a row."""
    keys = st.components.v2.component("panel_keys", html="<span></span>", js=KEYS)
    with st.container(height=1, border=False):
        keys(
            key=f"{study}-panel-keys",
            data={"panel": PANEL, "table": f"{study}-table-"},
        )


def _head(spec: Spec, row: pd.Series, trials: pd.DataFrame) -> None:
    state, objective = str(row["state"]), spec.objective
    st.markdown(f"#### Trial {row['trial']} :{MARKS[state]}-badge[{state.lower()}]")
    value = shown("objective", row["objective"], objective)
    completed = trials[trials["state"] == TrialState.COMPLETED]
    place = ""
    if state == TrialState.COMPLETED:
        rank = [int(n) for n in completed["trial"]].index(int(row["trial"])) + 1
        place = f" · {rank:,} of {len(completed):,} completed"
    source = SOURCES.get(str(row.get("source")), "unknown")
    st.markdown(
        f"{title('objective', objective)} **{value}**{place}  \n:gray[{counted(row['epochs'], 'epoch')} in "
        f"{number(float(row['duration_s']))} s · configuration from {source}]"
    )


def _buttons(study: Study, trial: int) -> None:
    compared = trial in st.session_state.get(f"{study.name}-compared", [])
    key = f"{study.name}-panel"
    with st.container(horizontal=True, gap="small"):
        action("Review", "edit_note", f"{key}-review", review, study, trial)
        action("Architecture", "deployed_code", f"{key}-architecture", architecture, study, trial)
        st.button(
            "Compared" if compared else "Compare",
            icon=":material/check:" if compared else ":material/compare_arrows:",
            key=f"{key}-compare",
            on_click=toggle_compared,
            args=(study, trial),
        )
        action("Train", "model_training", f"{key}-train", train, study, trial)
        retry_button(study, trial, f"{key}-retry")
        show_star(study, trial)


def _failure(row: pd.Series) -> None:
    if row["state"] in (TrialState.FAILED, TrialState.CANCELLED) and row["error"]:
        kind = f"**{row['failure_kind']}**: " if row["failure_kind"] else ""
        st.error(f"{kind}{escaped(row['error'])}", icon=":material/error:")


def _parameters(spec: Spec, row: pd.Series, best: pd.Series | None) -> None:
    """All variables by group, those without effect marked, next to the best trial's values."""
    config = config_of(row, spec.space.variables)
    others = None if best is None else config_of(best, spec.space.variables)
    for group in GROUPS:
        variables = [v for v in spec.space.variables if v.group == group]
        if not variables:
            continue
        with st.expander(f"{group.capitalize()} ({len(variables)})", expanded=group in ("architecture", "training")):
            lines = ["| Variable | Value |" + (" Best |" if others else ""), "|:--|:--|" + (":--|" if others else "")]
            for variable in variables:
                lines.append(_parameter(spec, variable.name, config, others))
            st.markdown("\n".join(lines))


def _parameter(spec: Spec, name: str, config: Config, others: Config | None) -> str:
    def value(of: Config) -> str:
        if not spec.space.active(name, of):
            return ":gray[no effect]"
        return escaped(number(of.get(name)))

    label = f"**{name}**" if name in spec.space.searched else f":gray[{name}]"
    cells = [label, value(config)]
    if others is not None:
        differs = value(others) != value(config)
        cells.append(value(others) if differs else ":gray[same]")
    return "| " + " | ".join(cells) + " |"


def _figures(spec: Spec, row: pd.Series) -> None:
    """Metrics, health, and facts of the training."""
    metrics = [str(c) for c in row.index if str(c).startswith("metric/")]
    health = [f"health/{name}" for name in SCORES]
    for words, columns, opened in (
        ("Metrics", metrics, True),
        ("Health", health, False),
        ("Training", [*FACTS, *MORE_FACTS], False),
    ):
        there = [c for c in columns if c in row.index and not pd.isna(row[c])]
        if not there:
            continue
        with st.expander(f"{words} ({len(there)})", expanded=opened):
            lines = [
                f"| {in_words(c.split('/')[-1]) if c.startswith('health/') else title(c, spec.objective)} "
                f"| {escaped(shown(c, row[c], spec.objective))} |"
                for c in there
            ]
            st.markdown("\n".join(["| | |", "|:--|:--|", *lines]))


def _log(study: Study, row: pd.Series) -> None:
    """The end of what the trial printed, and its checkpoint."""
    trial = int(row["trial"])
    if has_log(study, trial):
        with st.expander("Log", expanded=row["state"] == TrialState.FAILED):
            show_log(study, trial)
    there = study.folder.exists(study.checkpoint(trial))
    st.caption(
        f"Checkpoint: `{study.folder.path(study.checkpoint(trial))}`" if there else "This trial has no checkpoint."
    )
