"""The learning curve of one trial, beside what is usual in its study and beside the best."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from tune_app.results.plots import COLOURS, axis_title, empty_figure, figure_digits, titled_figure, whole_numbers
from tune_app.spaces.section import Objective


def trial_curve(epochs: pd.DataFrame, trial: int, best: int | None, objective: Objective) -> go.Figure:
    """The metric of `trial` over its epochs, the median of all trials that reached each epoch, and the best trial.

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
    drawn = (
        {f"Trial {trial}": trial}
        if best in (None, trial)
        else {f"Trial {best}, the best": best, f"Trial {trial}": trial}
    )
    styles = {best: {"color": COLOURS["COMPLETED"], "width": 2}} | {trial: {"color": COLOURS["RUNNING"], "width": 4}}
    usual = {"color": COLOURS["PRUNED"], "dash": "dot", "width": 2}
    lines = [("Median of those that got this far", list(median.index), list(median), usual)]
    for name, number in drawn.items():
        rows = known[known["trial"] == number].sort_values("epoch")
        lines.append((name, list(rows["epoch"]), list(rows[column]), styles[number]))
    for name, across, upwards, style in lines:
        figure.add_scatter(
            x=across,
            y=upwards,
            name=name,
            line=style,
            mode="lines+markers" if len(across) == 1 else "lines",
            hovertemplate=f"epoch %{{x}}<br>%{{y:{digits}}}",
        )
    figure.update_layout(title=None, height=240, margin={"l": 50, "r": 10, "t": 30, "b": 40})
    return figure if len(known) else empty_figure(figure, "No epoch has ended yet.")
