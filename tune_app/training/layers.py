"""The layers of a network: names, types, shapes and sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from tune_app.training.walk import Visit, walk

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """A module of a network that computes something itself: one without children, or with its own parameters.

    Attributes:
        name: its path in the network, such as ``convolutions.0``; empty for the network itself.
        type: its class, such as ``Conv2d``.
        settings: its arguments, as torch prints them.
        input_shapes: of its input tensors; the first axis is the rows of the probe, if the network keeps them apart.
            Empty if it was not called, or the task has no probe.
        output_shape: of its output tensor, or the first one of several; None as above.
        parameter_shapes: its own parameters, without those of its children.
        parameters: number of its own values.
        trainable: how many of them are trainable.
    """

    name: str
    type: str
    settings: str
    input_shapes: tuple[Shape, ...]
    output_shape: Shape | None
    parameter_shapes: dict[str, Shape]
    parameters: int
    trainable: int


def read_layers(model: nn.Module, run: Callable[[], object] | None = None) -> list[Layer]:
    """The layers of `model`: those that `run` calls in the order of their first call, then the others.

    Args:
        run: makes the network compute something; without it, activation shapes are unknown.

    The pass runs in evaluation mode and without gradients and leaves no trace, see `walk`. A parameter that several
    layers share counts for each of them.
    """
    with torch.no_grad():
        return [_layer(visit) for visit in walk(model, run).visits]


def _layer(visit: Visit) -> Layer:
    own = dict(visit.module.named_parameters(recurse=False))
    return Layer(
        name=visit.name,
        type=type(visit.module).__name__,
        settings=visit.module.extra_repr(),
        input_shapes=tuple(tuple(tensor.shape) for tensor in visit.inputs),
        output_shape=None if visit.output is None else tuple(visit.output.shape),
        parameter_shapes={key: tuple(p.shape) for key, p in own.items()},
        parameters=sum(p.numel() for p in own.values()),
        trainable=sum(p.numel() for p in own.values() if p.requires_grad),
    )
