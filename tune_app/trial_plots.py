"""Pictures of one trial, as plotly figures: its training, its answers, its layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from tune_app.inspection import Inspection
from tune_app.objective import is_share
from tune_app.plots import COLOURS, SCALE, empty_figure, titled_figure

LEAST_GRADIENT = 1e-12
"""What a gradient of zero is drawn as on a log scale."""


def training_history(epochs: pd.DataFrame) -> go.Figure:
    """Every metric of a trial's epochs, the losses in a picture of their own.

    Args:
        epochs: the trial's rows of the study's epochs.
    """
    metrics = [name for name in map(str, epochs.columns) if name.startswith("metric/") and epochs[name].notna().any()]
    losses = [name for name in metrics if "loss" in name]
    others = [name for name in metrics if "loss" not in name]
    figure = make_subplots(1, 2, subplot_titles=("Losses", "Other metrics"))
    for column, names in ((1, losses), (2, others)):
        for name in names:
            label = name.removeprefix("metric/").replace("_", " ")
            figure.add_scatter(x=epochs["epoch"], y=epochs[name], name=label, mode="lines+markers", row=1, col=column)
    figure.update_xaxes(title="Epoch")
    if others and all(map(is_share, others)):
        figure.update_yaxes(tickformat=".4~p", col=2)
    figure.update_layout(title="Training history", margin={"l": 50, "r": 20, "t": 80, "b": 50})
    return figure if metrics else empty_figure(figure, "No epoch has ended yet.")


def training_animation(epochs: pd.DataFrame) -> go.Figure:
    """The training replayed: metrics and health figures as bars that move from epoch to epoch.

    Only figures between 0 and 1 in all epochs are shown, so that one axis fits them; losses are in `training_history`.
    """
    rows = epochs.sort_values("epoch")
    figures = [name for name in map(str, rows.columns) if name.startswith(("metric/", "health/"))]
    names = [name for name in figures if rows[name].notna().any() and rows[name].dropna().between(0, 1).all()]
    figure = titled_figure("The training, epoch by epoch", "", "")
    if not names:
        return empty_figure(figure, "No figure between 0 and 1 was measured.")
    labels = [name.removeprefix("metric/").replace("health/", "health: ").replace("_", " ") for name in names]
    colours = [COLOURS["RUNNING"] if name.startswith("metric/") else COLOURS["COMPLETED"] for name in names]

    def bars(row: pd.Series[Any]) -> go.Bar:
        values = [None if pd.isna(row[name]) else float(row[name]) for name in names]
        return go.Bar(x=labels, y=values, marker={"color": colours}, hovertemplate="%{x}: %{y:.4g}")

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
    figure.update_yaxes(range=[0, 1])
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
    """How often rows of each class got each answer; the shares are of the rows of a class."""
    figure = titled_figure("Confusion matrix (validation part)", "Answer of the model", "True class")
    if not inspection.labels:
        return empty_figure(figure, "This task answers with no classes.")
    names = list(inspection.class_names)
    counts = np.zeros((len(names), len(names)), dtype=int)
    np.add.at(counts, (list(inspection.labels), list(inspection.answers)), 1)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure.add_heatmap(
        x=names,
        y=names,
        z=shares,
        customdata=counts,
        colorscale="Blues",
        zmin=0,
        zmax=1,
        colorbar={"title": "share", "tickformat": ".0%"},
        texttemplate="%{customdata}" if len(names) <= 20 else None,
        hovertemplate="true %{y}, answered %{x}: %{customdata} rows, %{z:.1%}",
    )
    # Numbers as names would be read as positions on a line.
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
        marker={"color": COLOURS["RUNNING"]},
        hovertemplate="%{x}: %{y:.3g}",
    )
    return figure


def weight_histograms(inspection: Inspection) -> go.Figure:
    """How the weights of each layer are spread, and beside them the biases and scales."""
    layers = inspection.layers
    if not layers:
        return empty_figure(titled_figure("Weights and biases", "", ""), "The network has no weights.")
    titles = [f"{layer.name}: {what}" for layer in layers for what in ("weights", "biases")]
    figure = make_subplots(len(layers), 2, subplot_titles=titles, vertical_spacing=0.4 / len(layers) / 1.5)
    for number, layer in enumerate(layers, start=1):
        for column, histogram in ((1, layer.weights), (2, layer.biases)):
            if histogram is None:
                figure.add_annotation(
                    text="none", x=0.5, y=0.5, xref="x domain", yref="y domain", showarrow=False, row=number, col=column
                )
                continue
            edges = np.asarray(histogram.edges)
            figure.add_bar(
                x=(edges[1:] + edges[:-1]) / 2,
                y=histogram.counts,
                width=np.diff(edges),
                marker={"color": COLOURS["RUNNING"] if column == 1 else COLOURS["COMPLETED"]},
                hovertemplate="%{x:.3g}: %{y} values",
                row=number,
                col=column,
            )
    figure.update_layout(title="Weights and biases", showlegend=False, height=120 + 190 * len(layers), bargap=0)
    return figure


def activation_maps(inspection: Inspection, image: int = 0) -> go.Figure:
    """One image as the network gets it, and below it what each convolution makes of it."""
    if inspection.images is None or not inspection.maps:
        return empty_figure(titled_figure("Activation maps", "", ""), "This network has no convolutions to look into.")
    columns = max(len(maps[image]) for maps in inspection.maps.values())
    rows = [("image", inspection.images[image]), *((name, maps[image]) for name, maps in inspection.maps.items())]
    titles = [name if column == 0 else "" for name, _ in rows for column in range(columns)]
    figure = make_subplots(len(rows), columns, subplot_titles=titles, horizontal_spacing=0.01)
    for number, (_, channels) in enumerate(rows, start=1):
        for column, channel in enumerate(channels, start=1):
            figure.add_heatmap(
                z=channel,
                colorscale="Greys_r" if number == 1 else SCALE,
                showscale=False,
                hoverinfo="z",
                row=number,
                col=column,
            )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False, autorange="reversed", scaleanchor=None)
    figure.update_layout(
        title="Activation maps", height=90 + 150 * len(rows), margin={"l": 10, "r": 10, "t": 80, "b": 10}
    )
    return figure
