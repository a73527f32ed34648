"""The figures of the trials; only the chosen one is drawn."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from columns import title
from parallel_axes import show_axes
from sources import epochs_of, said
from values import sentence

from tune_app.errors import WorkFailed
from tune_app.results import plots
from tune_app.results.importance import by_association, importance
from tune_app.spaces.objective import AGAINST, front
from tune_app.spaces.spec import Spec
from tune_app.store.study import Study

HEIGHT = 340
MOST_FITTED = 400
"""Completed trials that the importances are computed from: with 1,000 the forest takes ten seconds and more."""
AGAINSTS = [column for column, _ in AGAINST.values()]
AXES = 7
"""Variables that parallel coordinates have room for beside the objective."""


def show_figure(
    study: Study, spec: Spec, trials: pd.DataFrame, compared: Sequence[int], on_trial: object = None
) -> None:
    """A choice of figures, and the chosen one."""
    draw = {
        "History": _history,
        "Learning curves": _curves,
        "Parallel": _parallel,
        "Importance": _importance,
        "Slice": _slice,
        "Contour": _contour,
        "Timeline": _timeline,
    }
    if spec.objective.mode == "pareto":
        draw = {"Pareto front": _pareto, **draw}
    chosen = st.segmented_control(
        "Figure",
        list(draw),
        default=next(iter(draw)),
        required=True,
        label_visibility="collapsed",
        key=f"{study.name}-figure",
        persist_state="session",
    )
    draw[chosen](study, spec, trials, compared)


def _draw(figure: go.Figure, alt: str, height: int = HEIGHT) -> None:
    figure.update_layout(height=height)
    st.plotly_chart(figure, alt=alt, config={"displaylogo": False})


def _log_switch(study: Study, figure: str, words: str) -> bool:
    return st.toggle(f"{words} on a log scale", key=f"{study.name}-{figure}-log", persist_state="session")


def _history(study: Study, spec: Spec, trials: pd.DataFrame, compared: Sequence[int]) -> None:
    log = _log_switch(study, "history", title("objective", spec.objective))
    figure = plots.optimisation_history(trials, spec.objective, log)
    _draw(figure, "Optimisation history")


def _curves(study: Study, spec: Spec, trials: pd.DataFrame, compared: Sequence[int]) -> None:
    epochs = epochs_of(study)
    columns = [c for c in epochs.columns if c.startswith(("metric/", "health/")) and epochs[c].notna().any()]
    if not columns:
        st.info("No epoch has been measured yet.")
        return
    main = f"metric/{spec.objective.metric}"
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        column = st.selectbox(
            "Figure over the epochs",
            columns,
            index=columns.index(main) if main in columns else 0,
            format_func=lambda name: title(name, spec.objective),
            key=f"{study.name}-curve",
            persist_state="session",
        )
    with right:
        log = _log_switch(study, "curves", title(column, spec.objective))
    kept = epochs[epochs["trial"].isin(trials["trial"])]
    figure = plots.learning_curves(kept, trials, column, log, highlight=list(compared))
    _draw(figure, "Learning curves")


def _parallel(study: Study, spec: Spec, trials: pd.DataFrame, compared: Sequence[int]) -> None:
    names = list(spec.space.searched)
    if len(names) > AXES:
        names = st.multiselect(
            "Axes",
            names,
            default=by_association(spec, trials)[:AXES],
            help="At first the variables with which the objective goes along most.",
            key=f"{study.name}-axes",
            persist_state="session",
        )
    show_axes(study.name, plots.parallel_coordinates(trials, spec, names))


def _importance(study: Study, spec: Spec, trials: pd.DataFrame, compared: Sequence[int]) -> None:
    if not spec.space.searched:
        st.info("The space of this study searches no variable, so there is nothing to compare.")
        return
    try:
        with st.spinner("Optuna fits a forest to the completed trials…"):
            shares = _importances(spec.sha256(), trials, spec)
    except WorkFailed as error:
        st.info(sentence(error))
        return
    figure = plots.importances(shares)
    _draw(figure, "Importance of each variable", figure.layout.height)
    completed = int((trials["state"] == "COMPLETED").sum())
    drawn = f"{MOST_FITTED} of {completed:,}" if completed > MOST_FITTED else str(completed)
    st.caption(f"By Optuna's fANOVA, from {drawn} completed trials.")


@st.cache_data(max_entries=16, show_spinner=False)
def _importances(space: str, trials: pd.DataFrame, _spec: Spec) -> dict[str, float]:
    return importance(_spec, trials, MOST_FITTED)


def _slice(study: Study, spec: Spec, trials: pd.DataFrame, compared: Sequence[int]) -> None:
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        name = _variable(study, spec, "Variable", "slice")
    with right:
        log = _log_switch(study, "slice", title("objective", spec.objective))
    if name is not None:
        figure = plots.slice_plot(trials, spec, name, log)
        _draw(figure, f"Objective over {name}")


def _contour(study: Study, spec: Spec, trials: pd.DataFrame, compared: Sequence[int]) -> None:
    left, right = st.columns(2)
    with left:
        x = _variable(study, spec, "Variable across", "contour-x")
    with right:
        y = _variable(study, spec, "Variable upwards", "contour-y", 1)
    if x is None or y is None or x == y:
        st.info("A contour plot needs two different variables.")
        return
    _draw(plots.contour_plot(trials, spec, x, y), f"Objective over {x} and {y}")


def _variable(study: Study, spec: Spec, label: str, key: str, index: int = 0) -> str | None:
    names = list(spec.space.searched)
    if len(names) <= index:
        return None
    return st.selectbox(label, names, index=index, key=f"{study.name}-{key}", persist_state="session")


def _timeline(study: Study, spec: Spec, trials: pd.DataFrame, compared: Sequence[int]) -> None:
    figure = plots.timeline(trials)
    _draw(figure, "When each trial ran, by worker", figure.layout.height)


def _pareto(study: Study, spec: Spec, trials: pd.DataFrame, compared: Sequence[int]) -> None:
    completed = trials[trials["state"] == "COMPLETED"]
    with said():
        columns = [str(c) for c in completed if c in AGAINSTS or str(c).startswith("metric/")]
        figures = [dict(zip(columns, row, strict=True)) for row in completed[columns].itertuples(index=False)]
        rows = completed.iloc[front(spec.objective, figures)]
    _draw(plots.pareto_front(trials, rows, spec), "Pareto front")
