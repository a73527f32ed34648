"""What a network is made of: its layers with names, types, shapes and parameters."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from tune_app.results.network.layer import Layer
from tune_app.results.network.rebuild import Source, in_words, rebuild
from tune_app.results.network.walk import Visit, walk


def layers_of(source: Source) -> list[Layer]:
    """The layers of the network that a trial or a training trained; see `read_layers`.

    Raises:
        NotFound: the task has no network.
        InputError: its data cannot be loaded.
        WorkFailed: the task's code raised.
    """
    with in_words(source, "built"):
        rebuilt = rebuild(source)
        return read_layers(rebuilt.network, rebuilt.probe_loss)


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
