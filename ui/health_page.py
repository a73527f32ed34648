"""Health: the six scores of one trial, what they mean and what to change, and all trials by their health."""

from __future__ import annotations

import math

import pandas as pd
import streamlit as st
from columns import column_config, shown, title
from figure_tools import show_chart
from following import say_state
from sources import chosen_study, epochs_of, spec_of, trials_of
from trial_choice import choose_trial, row_of

from tune_app.readable import counted, in_words
from tune_app.results import plots
from tune_app.results.review import config_of
from tune_app.spaces.spec import Spec
from tune_app.training.diagnosis import Finding, findings, grade_of
from tune_app.training.health import LEAST_SCORES, MEANINGS, SCORES, WEIGHTS, told

COLORS = {"good": "green", "fair": "orange", "poor": "red", "unknown": "gray"}
COLUMNS = ["trial", "state", "objective", *(f"health/{name}" for name in ("overall", *WEIGHTS))]


def show() -> None:
    """The part."""
    st.header("Health")
    study = chosen_study()
    spec = spec_of(study)
    trials = trials_of(study)
    if not say_state(study, trials):
        return
    if "health/overall" not in trials or trials["health/overall"].isna().all():
        st.info(
            "No trial of this study has health scores: no epoch was measured, or the task has neither losses nor a "
            "probe."
        )
        return
    row = row_of(trials, choose_trial(trials, spec.objective, study.name), spec.objective)
    epochs = epochs_of(study)
    mine = epochs[epochs["trial"] == row["trial"]].sort_values("epoch")
    _show_trial(row, mine, spec)
    st.subheader("Over the epochs", anchor=False)
    drawn = ["trial", "epoch", *(f"health/{name}" for name in SCORES)]
    show_chart(
        f"{study.name}-health-chart",
        f"{study.name}-health-{row['trial']}",
        plots.health_over_epochs(mine),
        "Health over the epochs",
        lambda: mine.filter(drawn),
    )
    st.subheader("All trials, healthiest first", anchor=False)
    columns = [column for column in COLUMNS if column in trials]
    st.dataframe(
        trials[columns].sort_values("health/overall", ascending=False, na_position="last"),
        column_config=column_config(trials[columns], spec),
        hide_index=True,
        placeholder="–",
        height=min(400, 38 + 35 * len(trials)),
        alt="All trials by their overall health",
    )


def _show_trial(row: pd.Series, epochs: pd.DataFrame, spec: Spec) -> None:
    scores = {name: _number(row.get(f"health/{name}")) for name in SCORES}
    history = [
        {str(key).removeprefix("metric/"): _number(value) for key, value in epoch.items() if "metric/" in str(key)}
        for epoch in epochs.to_dict(orient="records")
    ]
    overall = scores["overall"]
    score = f"{title('objective', spec.objective)} {shown('objective', row['objective'], spec.objective)}"
    st.markdown(
        f"**Trial {row['trial']}** ({str(row['state']).lower()}): {score} · {counted(row['epochs'], 'epoch')} · "
        f"overall health **{shown('health/overall', overall, spec.objective)}** {_badge(grade_of(overall))}"
        + (f" {told(scores)} are known; it needs {LEAST_SCORES}" if overall is None else "")
    )
    config = config_of(row, spec.space.variables)
    with_effect = {variable.name for variable in spec.space.variables if spec.space.active(variable.name, config)}
    found = findings(scores, with_effect, history)
    for start in range(0, len(found), 2):
        for place, finding in zip(st.columns(2), found[start : start + 2], strict=False):
            with place.container(border=True, height="stretch"):
                _show_finding(finding, spec)


def _show_finding(finding: Finding, spec: Spec) -> None:
    name, weight = in_words(finding.score), WEIGHTS[finding.score]
    value = shown(f"health/{finding.score}", finding.value, spec.objective)
    st.markdown(f"**{name}: {value}** {_badge(finding.grade)} :gray[weight {100 * weight:.0f}%]")
    st.progress(finding.value or 0.0)
    st.caption(MEANINGS[finding.score])
    if finding.cause:
        st.markdown(finding.cause if finding.grade == "unknown" else f"Probable cause: {finding.cause}")
    if finding.changes:
        st.markdown("What to change: " + "; ".join(f"`{name}` {how}" for name, how in finding.changes) + ".")


def _badge(grade: str) -> str:
    return f":{COLORS[grade]}-badge[{grade}]"


def _number(value: object) -> float | None:
    """A table cell as a number; None if it is absent."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
