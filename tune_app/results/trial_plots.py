"""Pictures of one trial, as plotly figures: its training, its predictions, its layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from tune_app.results.network.layer import Inspection, LayerStatistics
from tune_app.results.plots import COLORS, SCALE, axis_title, empty_figure, figure_digits, titled_figure, whole_numbers
from tune_app.spaces.objective import is_share

LEAST_GRADIENT = 1e-12
"""The value that represents a gradient of zero on a log scale."""
ROW_HEIGHT, ROW_GAP = 150, 30
"""Of the activation maps, in pixels."""


def training_history(epochs: pd.DataFrame) -> go.Figure:
    """Every metric of a trial's epochs, with the losses in a separate picture.

    Args:
        epochs: the trial's rows of the study's epochs.
    """
    metrics = [name for name in map(str, epochs.columns) if name.startswith("metric/") and epochs[name].notna().any()]
    losses = [name for name in metrics if "loss" in name]
    others = [name for name in metrics if "loss" not in name]
    figure = make_subplots(1, 2, subplot_titles=("Losses", "Other metrics"))
    for column, names in ((1, losses), (2, others)):
        for name in names:
            figure.add_scatter(
                x=epochs["epoch"],
                y=epochs[name],
                name=axis_title(name),
                mode="lines+markers",
                hovertemplate=f"epoch %{{x}}<br>%{{y:{figure_digits(name)}}}",
                row=1,
                col=column,
            )
    figure.update_xaxes(title="Epoch", **whole_numbers(epochs["epoch"]))
    if others and all(map(is_share, others)):
        figure.update_yaxes(tickformat=".4~p", col=2)
    figure.update_layout(title="Training history", margin={"l": 50, "r": 20, "t": 80, "b": 50})
    return figure if metrics else empty_figure(figure, "No epoch has ended yet.")


def training_animation(epochs: pd.DataFrame) -> go.Figure:
    """The training replayed: metrics and health scores as bars that move from epoch to epoch.

    Only shares of a whole are shown, so that one axis fits them all; the others are in `training_history`.
    """
    rows = epochs.sort_values("epoch")
    names = [name for name in map(str, rows.columns) if is_share(name) and rows[name].notna().any()]
    figure = titled_figure("The training, epoch by epoch", "", "")
    if not names:
        return empty_figure(figure, "No fraction, such as an accuracy, was measured.")
    labels = [axis_title(name) for name in names]
    colors = [COLORS["RUNNING"] if name.startswith("metric/") else COLORS["COMPLETED"] for name in names]

    def bars(row: pd.Series[Any]) -> go.Bar:
        values = [None if pd.isna(row[name]) else float(row[name]) for name in names]
        return go.Bar(x=labels, y=values, marker={"color": colors}, hovertemplate="%{x}: %{y:.4~p}<extra></extra>")

    frames = [go.Frame(data=[bars(row)], name=str(int(row["epoch"]))) for _, row in rows.iterrows()]
    figure.add_trace(frames[0].data[0])
    figure.frames = frames
    play = {"frame": {"duration": 300, "redraw": True}, "transition": {"duration": 150}, "fromcurrent": True}
    jump = {"frame": {"duration": 0, "redraw": True}, "mode": "immediate"}
    steps = [{"label": f.name, "method": "animate", "args": [[f.name], jump]} for f in frames]
    buttons = [
        {"label": "Play", "method": "animate", "args": [None, play]},
        {"label": "Pause", "method": "animate", "args": [[None], jump]},
    ]
    figure.update_yaxes(range=[0, 1], tickformat=".0%")
    figure.update_layout(
        updatemenus=[
            {
                "type": "buttons",
                "buttons": buttons,
                "direction": "left",
                "x": 1,
                "xanchor": "right",
                "y": 1.18,
                "yanchor": "top",
            }
        ],
        sliders=[{"steps": steps, "currentvalue": {"prefix": "Epoch "}, "pad": {"t": 70}}],
        height=480,
    )
    return figure


def confusion_matrix(inspection: Inspection) -> go.Figure:
    """How often the model predicted each class for the rows of each class; shares are of the true class's rows."""
    figure = titled_figure("Confusion matrix (validation part)", "Answer of the model", "True class")
    if not inspection.labels:
        return empty_figure(figure, "This task does not predict classes.")
    names = list(inspection.class_names)
    counts = np.zeros((len(names), len(names)), dtype=int)
    np.add.at(counts, (list(inspection.labels), list(inspection.answers)), 1)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure.add_heatmap(
        x=names,
        y=names,
        z=shares,
        text=counts.astype(str).tolist(),  # `customdata` does not reach the template of a heatmap's cells
        colorscale="Blues",
        zmin=0,
        zmax=1,
        colorbar={"title": "share", "tickformat": ".0%"},
        texttemplate="%{text}" if len(names) <= 20 else None,
        hovertemplate="true %{y}, answered %{x}: %{text} rows, %{z:.1%}<extra></extra>",
    )
    # Plotly would read numeric names as positions on a line.
    figure.update_xaxes(type="category", side="bottom")
    figure.update_yaxes(type="category", autorange="reversed")
    figure.update_layout(height=max(420, 140 + 24 * min(len(names), 46)))
    return figure


def gradient_flow(inspection: Inspection) -> go.Figure:
    """Mean absolute gradient by the weights of each layer, from the first to the last, on a log scale."""
    figure = titled_figure("Gradient flow", "Layer", "Mean absolute gradient", log_y=True)
    layers = [layer for layer in inspection.layers if layer.gradient is not None]
    if not layers:
        return empty_figure(figure, "This task has no probe, so no gradient was measured.")
    figure.add_bar(
        x=[layer.name for layer in layers],
        y=[max(layer.gradient or 0.0, LEAST_GRADIENT) for layer in layers],
        marker={"color": COLORS["RUNNING"]},
        hovertemplate="%{x}: %{y:.3g}<extra></extra>",
    )
    return figure


def weight_histograms(layer: LayerStatistics) -> go.Figure:
    """The distribution of a layer's weights, next to that of its biases and scales."""
    figure = make_subplots(1, 2, subplot_titles=("Weights", "Biases" if layer.biases else "No biases"))
    for column, histogram in ((1, layer.weights), (2, layer.biases)):
        if histogram is None:
            figure.update_xaxes(visible=False, col=column)
            figure.update_yaxes(visible=False, col=column)
            continue
        edges = np.asarray(histogram.edges)
        figure.add_bar(
            x=(edges[1:] + edges[:-1]) / 2,
            y=histogram.counts,
            width=np.diff(edges),
            marker={"color": COLORS["RUNNING"] if column == 1 else COLORS["COMPLETED"]},
            hovertemplate="%{x:.3g}: %{y} values<extra></extra>",
            row=1,
            col=column,
        )
    figure.update_layout(
        title=f"Weights and biases: {layer.name or 'the network'}",
        showlegend=False,
        height=300,
        bargap=0,
        margin={"l": 60, "r": 20, "t": 80, "b": 30},
    )
    return figure


def activation_maps(inspection: Inspection, image: int = 0) -> go.Figure:
    """One image as the network receives it, and below it the output of each convolution.

    The channels of a row share one picture, because separate pictures slow the browser down; each is scaled from its
    own smallest to its own largest value.
    """
    if inspection.images is None or not inspection.maps:
        return empty_figure(titled_figure("Activation maps", "", ""), "This network has no convolutions to show.")
    columns = max(len(maps[image]) for maps in inspection.maps.values())
    rows = [("image", inspection.images[image]), *((name, maps[image]) for name, maps in inspection.maps.items())]
    figure = make_subplots(
        len(rows), 1, subplot_titles=[name for name, _ in rows], vertical_spacing=ROW_GAP / (ROW_HEIGHT * len(rows))
    )
    for number, (_, channels) in enumerate(rows, start=1):
        figure.add_heatmap(
            z=_side_by_side([_stretched(channel) for channel in channels], columns),
            customdata=_side_by_side(channels, columns).round(4).tolist(),
            colorscale="Greys_r" if number == 1 else SCALE,
            showscale=False,
            hoverongaps=False,
            hovertemplate="%{customdata:.4g}<extra></extra>",
            row=number,
            col=1,
        )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False, autorange="reversed")
    figure.update_layout(
        title=f"Activation maps of image {image + 1}",
        height=90 + ROW_HEIGHT * len(rows),
        margin={"l": 10, "r": 10, "t": 80, "b": 10},
        plot_bgcolor="rgba(0,0,0,0)",
    )
    return figure


def _stretched(channel: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Scaled from its smallest value at 0 to its largest at 1; all 0 if they are equal."""
    low, high = channel.min(), channel.max()
    return np.asarray((channel - low) / (high - low or 1.0))


def _side_by_side(channels: Sequence[np.ndarray[Any, Any]], columns: int) -> np.ndarray[Any, Any]:
    """Channels of one size in one row of `columns` places with gaps between them; empty places are NaN."""
    height, width = channels[0].shape
    gap = max(1, width // 10)
    row = np.full((height, columns * (width + gap) - gap), np.nan, dtype=np.float32)
    for place, channel in enumerate(channels):
        row[:, place * (width + gap) : place * (width + gap) + width] = channel
    return row
