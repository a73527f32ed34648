"""Figures of a study, as plotly figures: for the page, reports and notebooks.

Tables are those of `tune_app.results.review`. A figure with nothing to show says so in words. Every point of a single
trial has ``customdata`` whose first element is the trial's number, which a click on it returns; for anything else that
element is None.
"""

from tune_app.results.plots.cells import contour_plot
from tune_app.results.plots.curves import compared_curves, learning_curves
from tune_app.results.plots.distribution import empirical_distribution
from tune_app.results.plots.health import health_over_epochs
from tune_app.results.plots.history import optimization_history
from tune_app.results.plots.importance_bars import importances
from tune_app.results.plots.lanes import timeline
from tune_app.results.plots.marks import mark_trials
from tune_app.results.plots.palette import COLORS, SCALE
from tune_app.results.plots.parallel import (
    drawn_lines,
    first_pair,
    parallel_axes,
    parallel_coordinates,
    range_text,
    range_values,
    vary_together,
    within,
)
from tune_app.results.plots.pareto import pareto_front
from tune_app.results.plots.rank import rank_plot
from tune_app.results.plots.slices import slice_plot
from tune_app.results.plots.style import (
    axis_title,
    empty_figure,
    figure_digits,
    set_height,
    titled_figure,
    whole_numbers,
)

__all__ = [
    "COLORS",
    "SCALE",
    "axis_title",
    "compared_curves",
    "contour_plot",
    "drawn_lines",
    "empirical_distribution",
    "empty_figure",
    "figure_digits",
    "first_pair",
    "health_over_epochs",
    "importances",
    "learning_curves",
    "mark_trials",
    "optimization_history",
    "parallel_axes",
    "parallel_coordinates",
    "pareto_front",
    "range_text",
    "range_values",
    "rank_plot",
    "set_height",
    "slice_plot",
    "timeline",
    "titled_figure",
    "vary_together",
    "whole_numbers",
    "within",
]
