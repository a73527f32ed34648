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
    """A module of a network that computes something itself: one without children, or with parameters of its own.

    Attributes:
        name: its path in the network, such as ``convolutions.0``; empty for the network itself.
        type: its class, such as ``Conv2d``.
        settings: what it was made with, as torch prints it.
        input_shapes: of the tensors that it is called with; the rows of the probe are the first axis where the network
            keeps them apart. Empty where it was not called, or the task has no probe.
        output_shape: of the tensor that it gives; of the first one where it gives several; None as above.
        parameter_shapes: its own parameters, those of its children left out.
        parameters: number of its own values.
        trainable: how many of them are trained.
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
        run: makes the network compute something; without it no shapes of what flows are known.

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
