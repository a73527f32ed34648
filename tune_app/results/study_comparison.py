"""Studies side by side: how good the best trial was at what cost, and how their winners differ."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from tune_app.results.plots import axis_title, empty_figure, figure_digits, titled_figure
from tune_app.results.review import config_of, ranked
from tune_app.spaces.objective import label_of
from tune_app.spaces.section import Objective
from tune_app.store.trial_row import TrialState

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito, "Color Universal Design" (2008), ordered so that neighbors differ most."""
MOST_STUDIES = len(COLORS)


def best_so_far(trials: pd.DataFrame, direction: str) -> pd.DataFrame:
    """The best completed trial after each one that ended.

    Returns:
        the columns ``epochs``, which all trials together had trained by then, and ``best``, in order of time, starting
        with the first trial that completed.
    """
    order = trials.sort_values("ended_at")
    known = order["objective"].where(order["state"] == TrialState.COMPLETED)
    best = (known.cummin() if direction == "minimize" else known.cummax()).ffill()
    found = pd.DataFrame({"epochs": order["epochs"].cumsum(), "best": best})
    return found[found["best"].notna()].reset_index(drop=True)


def cost_curves(studies: Mapping[str, pd.DataFrame], objective: Objective) -> go.Figure:
    """The best so far of each study against the epochs that it took.

    Args:
        studies: the trials of each; all studies have the same objective.
    """
    digits = figure_digits("objective", objective)
    figure = titled_figure("", "Epochs of all trials together", axis_title(label_of(objective)))
    figure.update_yaxes(tickformat=digits)
    for (name, trials), color in zip(studies.items(), COLORS, strict=False):
        curve = best_so_far(trials, objective.direction)
        figure.add_scatter(
            x=curve["epochs"],
            y=curve["best"],
            name=name,
            mode="lines",
            line={"shape": "hv", "color": color, "width": 2.5},
            hovertemplate=f"{name}<br>%{{x:,}} epochs<br>%{{y:{digits}}}",
        )
    figure.update_layout(title=None)
    return figure if any(len(trace.x) for trace in figure.data) else empty_figure(figure, "No trial completed yet.")


def winners(studies: Mapping[str, pd.DataFrame], direction: str) -> pd.DataFrame:
    """The configuration of each study's winner: one row per variable, one column per study that has a winner."""
    columns = {}
    for name, trials in studies.items():
        order = ranked(trials, direction)
        if len(order) and order.iloc[0]["state"] == TrialState.COMPLETED:
            columns[name] = config_of(order.iloc[0])
    return pd.DataFrame(columns, dtype=object)
