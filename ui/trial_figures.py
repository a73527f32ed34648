"""The figures of the trials; only the chosen one is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from columns import shown as text
from columns import title
from comparison import direction_of
from figure_settings import setting
from figure_tools import OnTrial, follow_clicks, show_chart, show_downloads
from parallel_axes import show_axes
from sources import epochs_of, said, trials_of
from values import sentence

from tune_app.errors import WorkFailed
from tune_app.readable import counted
from tune_app.results import plots
from tune_app.results.importance import SEEDS, Importance, by_association, importances, needed_trials
from tune_app.spaces.objective import AGAINST, front, is_share
from tune_app.spaces.pruning import rungs
from tune_app.spaces.spec import Spec
from tune_app.store.study import Study

HEIGHT = 340
MOST_FITTED = 300
"""Completed trials that the importances are computed from: with 1,000 the forests take more than ten seconds."""
AGAINSTS = [column for column, _ in AGAINST.values()]
AXES = 7
"""Variables that fit next to the objective in parallel coordinates."""


@dataclass(frozen=True)
class Shown:
    """What a figure is drawn from.

    Attributes:
        trials: those that meet the filter.
        unbrushed: those that meet it apart from the ranges along the axes of Parallel, which draws these.
        compared: numbers of trials that stand out.
        tools: where its downloads go, next to the choice of figures.
        on_trial: called with the number of a clicked trial.
    """

    study: Study
    spec: Spec
    trials: pd.DataFrame
    unbrushed: pd.DataFrame
    compared: Sequence[int]
    tools: st.delta_generator.DeltaGenerator
    on_trial: OnTrial | None


def figures_of(spec: Spec) -> dict[str, Callable[[Shown], None]]:
    """The figures of a study by name, in the order of the menu."""
    draw: dict[str, Callable[[Shown], None]] = {
        "History": _history,
        "Learning curves": _curves,
        "Parallel": _parallel,
        "Importance": _importance,
        "Slice": _slice,
        "Contour": _contour,
        "Rank": _rank,
        "Distribution": _distribution,
        "Timeline": _timeline,
    }
    return {"Pareto front": _pareto, **draw} if spec.objective.mode == "pareto" else draw


def show_figure(
    study: Study,
    spec: Spec,
    trials: pd.DataFrame,
    unbrushed: pd.DataFrame,
    compared: Sequence[int],
    on_trial: OnTrial | None = None,
) -> None:
    """A choice of figures, and the chosen one; see `Shown`."""
    draw = figures_of(spec)
    left, right = st.columns([12, 1], vertical_alignment="center")
    with left:
        chosen = st.segmented_control(
            "Figure",
            list(draw),
            default=next(iter(draw)),
            required=True,
            label_visibility="collapsed",
            wrap=True,
            key=f"{study.name}-figure",
            persist_state="session",
        )
    tools = right.container()
    draw[chosen](Shown(study, spec, trials, unbrushed, compared, tools, on_trial))


def _draw(
    shown: Shown,
    name: str,
    figure: go.Figure,
    alt: str,
    data: Callable[[], pd.DataFrame],
    height: int = HEIGHT,
    marked: bool = True,
) -> None:
    """The figure, its downloads, and the action of a click on a trial.

    Args:
        marked: mark the compared trials; False if the figure already makes them stand out.
    """
    if marked:
        plots.mark_trials(figure, shown.compared)
    figure.update_layout(title=None, margin_t=12)  # the choice of figures already shows it
    plots.set_height(figure, height)
    chart = f"{shown.study.name}-{name}-chart"
    show_chart(chart, f"{shown.study.name}-{name}", figure, alt, data, tools=shown.tools)
    if shown.on_trial is not None:
        follow_clicks(chart, shown.on_trial)


def _log_switch(shown: Shown, figure: str, column: str) -> bool | None:
    """Of the vertical axis: the logarithm of a share's error (on by default), or of the value."""
    share = is_share(column, shown.spec.objective)
    if share and column.startswith("health/"):
        return False
    name = title(column, shown.spec.objective)
    words = "Log of the error" if share else "Log scale"
    far = f"{name}: 98% to 99% spans as much as 80% to 90%, half of the error."
    help_text = far if share else f"{name} on a log scale."
    name = f"{figure}-log-{'error' if share else 'value'}"
    return st.toggle(words, help=help_text, **setting(shown.study.name, name, share))


def _pruned_switch(shown: Shown, figure: str) -> bool:
    return st.toggle(
        "Include pruned",
        help="They stopped early, so their metrics come from fewer epochs and are worse than they could be.",
        **setting(shown.study.name, f"{figure}-pruned", False),
    )


def _columns(shown: Shown, *names: str) -> pd.DataFrame:
    """The trials with their objective and these variables, for a download."""
    columns = [shown.spec.space.by_name[name].column for name in names]
    return shown.trials[["trial", "state", "objective", *columns]]


def _history(shown: Shown) -> None:
    log = _log_switch(shown, "history", "objective")
    figure = plots.optimization_history(shown.trials, shown.spec.objective, log)
    _draw(shown, "history", figure, "Objective of each trial", lambda: _columns(shown))


def _curves(shown: Shown) -> None:
    study, spec = shown.study, shown.spec
    epochs = epochs_of(study)
    columns = [c for c in epochs.columns if c.startswith(("metric/", "health/")) and epochs[c].notna().any()]
    if not columns:
        st.info("No epoch has been measured yet.")
        return
    main = f"metric/{spec.objective.metric}"
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        column = st.selectbox(
            "Metric over the epochs",
            columns,
            format_func=lambda name: title(name, spec.objective),
            **setting(study.name, "curve", main if main in columns else columns[0], columns),
        )
    with right:
        log = _log_switch(shown, "curves", column)
    kept = epochs[epochs["trial"].isin(shown.trials["trial"])]
    stops = rungs(spec.pruning, spec.budget.epochs)[0]
    figure = plots.learning_curves(
        kept, shown.trials, column, log, list(shown.compared), stops, direction_of(spec, column)
    )
    _draw(shown, "curves", figure, "Learning curves", lambda: kept[["trial", "epoch", column]], marked=False)
    asked = ", ".join(f"{stop:,}" for stop in stops if stop < spec.budget.epochs)
    st.caption(
        (f"Dotted lines: the scheduler decides after epoch {asked}. " if asked else "")
        + "With very many trials, the legend says how many curves of each state are drawn."
    )


def _parallel(shown: Shown) -> None:
    study, spec, trials = shown.study, shown.spec, shown.unbrushed
    names = plots.parallel_axes(trials, spec, AXES)
    if len(spec.space.searched) > AXES:
        names = st.multiselect(
            "Axes",
            searched := list(spec.space.searched),
            help="Default: the variables most closely associated with the objective, and the learning rate.",
            **setting(study.name, "axes", names, searched),
        )
    figure = plots.parallel_coordinates(trials, spec, names)
    drawn = plots.drawn_lines(trials, spec)
    name = title("objective", spec.objective)
    lines = [
        (int(number), f"trial {number}, {state.lower()}\n{name}: {text('objective', value, spec.objective)}")
        for number, state, value in zip(drawn["trial"], drawn["state"], drawn["objective"], strict=True)
    ]
    chart = show_axes(study.name, figure, lines, shown.on_trial)
    told = int(trials["objective"].notna().sum())
    if len(drawn) < told:
        st.caption(f"{len(drawn):,} of {told:,} lines are drawn: the best completed trials, then the best others.")
    if chart is not None:
        with shown.tools:
            show_downloads(chart, f"{study.name}-parallel", lambda: _columns(shown, *names))


def _importance(shown: Shown) -> None:
    spec, trials = shown.spec, shown.trials
    if not spec.space.searched:
        st.info("The space of this study searches no variable, so there is nothing to compare.")
        return
    if _lack_completed(shown, needed := needed_trials(spec)):
        return
    if _completed(trials) < needed:  # the study lacks them, too, and the message counts all of them
        trials = trials_of(shown.study)
    try:
        with st.spinner("Fitting Optuna's forests to the completed trials…"):
            found = _importances(spec.sha256(), trials, spec)
    except WorkFailed as error:
        said_so = sentence(error)
        st.info(said_so[:1].upper() + said_so[1:])
        return
    figure = plots.importances(found)
    rows = [{"variable": name, **vars(mattered)} for name, mattered in found.items()]
    _draw(
        shown,
        "importance",
        figure,
        "Importance of each variable",
        lambda: pd.DataFrame(rows),
        figure.layout.height,
    )
    completed = _completed(trials)
    drawn = f"{MOST_FITTED} of {completed:,}" if completed > MOST_FITTED else str(completed)
    st.caption(
        f"By Optuna's fANOVA, from {drawn} completed trials; the bars around each share span {SEEDS} forests. "
        "The labels say which values rank better on their own."
    )


def _lack_completed(shown: Shown, needed: int) -> bool:
    """Whether too few completed trials meet the filter for a figure, although the study has enough; then it says so.

    If the study itself lacks them, the figure says so.
    """
    met, every = _completed(shown.trials), _completed(trials_of(shown.study))
    if met >= needed or every < needed:
        return False
    verb = "meets" if met == 1 else "meet"
    takes = f", and this figure needs {needed:,}" if needed > 1 else ""
    st.info(f"{met:,} of {counted(every, 'completed trial')} {verb} the filter{takes}.")
    return True


def _completed(trials: pd.DataFrame) -> int:
    return int((trials["state"] == "COMPLETED").sum())


@st.cache_data(max_entries=16, show_spinner=False)
def _importances(space: str, trials: pd.DataFrame, _spec: Spec) -> dict[str, Importance]:
    return importances(_spec, trials, MOST_FITTED)


def _slice(shown: Shown) -> None:
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        name = _variable(shown, "Variable", "slice", by_association(shown.spec, shown.trials))
    with right:
        log = _log_switch(shown, "slice", "objective")
    if name is not None:
        figure = plots.slice_plot(shown.trials, shown.spec, name, log)
        _draw(shown, "slice", figure, f"Objective over {name}", lambda: _columns(shown, name))


def _contour(shown: Shown) -> None:
    chosen = _pair(shown, "contour", "A contour plot")
    if chosen is not None:
        x, y, pruned = chosen
        figure = plots.contour_plot(shown.trials, shown.spec, x, y, pruned)
        _draw(shown, "contour", figure, f"Objective over {x} and {y}", lambda: _columns(shown, x, y))


def _rank(shown: Shown) -> None:
    chosen = _pair(shown, "rank", "A rank plot")
    if chosen is not None:
        x, y, pruned = chosen
        figure = plots.rank_plot(shown.trials, shown.spec, x, y, pruned)
        _draw(shown, "rank", figure, f"Rank of the objective over {x} and {y}", lambda: _columns(shown, x, y))


def _pair(shown: Shown, figure: str, words: str) -> tuple[str, str, bool] | None:
    """Two variables, and whether pruned trials count; None without two variables."""
    left, middle, right = st.columns([3, 3, 2], vertical_alignment="bottom")
    first = plots.first_pair(shown.trials, shown.spec)
    with left:
        x = _variable(shown, "Horizontal axis", f"{figure}-x", first[:1])
    with middle:
        y = _variable(shown, "Vertical axis", f"{figure}-y", first[1:])
    with right:
        pruned = _pruned_switch(shown, figure)
    if x is None or y is None or x == y:
        st.info(f"{words} needs two different variables.")
        return None
    return x, y, pruned


def _variable(shown: Shown, label: str, key: str, first: Sequence[str]) -> str | None:
    """One of the searched variables, by default the first of `first`; None if that is empty."""
    if not first:
        return None
    names = list(shown.spec.space.searched)
    chosen: str = st.selectbox(label, names, **setting(shown.study.name, key, first[0], names))
    return chosen


def _distribution(shown: Shown) -> None:
    if _lack_completed(shown, 1):
        return
    log = _log_switch(shown, "distribution", "objective")
    figure = plots.empirical_distribution({shown.study.name: shown.trials}, shown.spec.objective, log)
    _draw(shown, "distribution", figure, "Empirical distribution of the objective", lambda: _columns(shown))


def _timeline(shown: Shown) -> None:
    figure = plots.timeline(shown.trials)
    columns = ["trial", "state", "node", "started_at", "ended_at", "duration_s"]
    _draw(
        shown,
        "timeline",
        figure,
        "When each trial ran, by worker",
        lambda: shown.trials[columns],
        figure.layout.height,
    )


def _pareto(shown: Shown) -> None:
    completed = shown.trials[shown.trials["state"] == "COMPLETED"]
    with said():
        columns = [str(c) for c in completed if c in AGAINSTS or str(c).startswith("metric/")]
        figures = [dict(zip(columns, row, strict=True)) for row in completed[columns].itertuples(index=False)]
        rows = completed.iloc[front(shown.spec.objective, figures)]
    figure = plots.pareto_front(shown.trials, rows, shown.spec)
    _draw(shown, "front", figure, "Pareto front", lambda: completed[["trial", *columns]])
