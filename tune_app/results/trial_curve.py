"""The learning curves of a few trials, next to the median of their study and the best one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from tune_app.results.plots import (
    COLORS,
    axis_title,
    empty_figure,
    figure_digits,
    set_height,
    titled_figure,
    whole_numbers,
)
from tune_app.results.plots.palette import DASHES, SERIES
from tune_app.spaces.section import Objective

HEIGHT = 270
"""In pixels."""


def trial_curve(epochs: pd.DataFrame, trials: Sequence[int], best: int | None, objective: Objective) -> go.Figure:
    """The metric of `trials` over their epochs, the median of all trials that got as far, and the best trial.

    Args:
        epochs: rows of all of the study's epochs.
        best: number of the best trial; None if there is none.
    """
    column = f"metric/{objective.metric}"
    digits = figure_digits(column)
    figure = titled_figure("", "Epoch", axis_title(column))
    figure.update_yaxes(tickformat=digits)
    figure.update_xaxes(**whole_numbers(epochs["epoch"]))
    known = epochs[epochs[column].notna()] if column in epochs else epochs.head(0)
    median = known.groupby("epoch")[column].median()
    usual = {"color": COLORS["PRUNED"], "dash": "dot", "width": 2}
    lines = [("Median of trials that got this far", list(median.index), list(median), usual)]
    others = (
        []
        if best in (None, *trials)
        else [(f"Trial {best}, the best", best, {"color": COLORS["COMPLETED"], "width": 2})]
    )
    for name, number, style in [*others, *_chosen(trials)]:
        rows = known[known["trial"] == number].sort_values("epoch")
        lines.append((name, list(rows["epoch"]), list(rows[column]), style))
    for name, across, upwards, style in lines:
        figure.add_scatter(
            x=across,
            y=upwards,
            name=name,
            line=style,
            mode="lines+markers" if len(across) == 1 else "lines",
            hovertemplate=f"epoch %{{x}}<br>%{{y:{digits}}}",
        )
    set_height(figure.update_layout(title=None, margin_t=12, margin_l=50, margin_r=10), HEIGHT)
    return figure if len(known) else empty_figure(figure, "No epoch has ended yet.")


def _chosen(trials: Sequence[int]) -> list[tuple[str, int, dict[str, Any]]]:
    """The name, the number and the look of each of the trials; several differ in color and dash."""
    if len(trials) == 1:
        return [(f"Trial {trials[0]}", trials[0], {"color": COLORS["RUNNING"], "width": 4})]
    looks: list[dict[str, Any]] = [
        # The second round pairs each color with another dash.
        {"color": SERIES[at % len(SERIES)], "dash": DASHES[(at + at // len(SERIES)) % len(DASHES)], "width": 2}
        for at in range(len(trials))
    ]
    return [(f"Trial {trial}", trial, look) for trial, look in zip(trials, looks, strict=True)]
