"""A walk over a network: the inputs and outputs of its layers, in the order in which they compute."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from tune_app.training.reading import evaluating


@dataclass(frozen=True)
class Visit:
    """A layer, as `Layer` has it, in its first call.

    Attributes:
        name: its path in the network; empty for the network itself.
        inputs: its input tensors, without their graph; empty if it was not called.
        output: its first output tensor, without its graph; None if it was not called.
    """

    name: str
    module: nn.Module
    inputs: tuple[Tensor, ...] = ()
    output: Tensor | None = None


@dataclass(frozen=True)
class Walk:
    """The result of one pass.

    Attributes:
        visits: the layers that were called, in the order in which their first calls ended, then the others.
        inputs: the tensors that the network itself was called with; empty without a pass.
    """

    visits: tuple[Visit, ...]
    inputs: tuple[Tensor, ...]


def walk(model: nn.Module, run: Callable[[], object] | None = None) -> Walk:
    """Let `run` make the network compute something, and record the activations; without it, they are unknown.

    The pass runs in evaluation mode and leaves modes and buffers unchanged, and no hooks. A packed sequence is
    represented by its values.
    """
    named = {module: name for name, module in model.named_modules()}
    layers = [module for module in named if _is_layer(module)]
    seen: dict[nn.Module, tuple[tuple[Tensor, ...], Tensor | None]] = {}

    def note(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        seen.setdefault(module, (tuple(_tensors(arguments)), next(_tensors((output,)), None)))

    if run is not None:
        hooks = [module.register_forward_hook(note) for module in {model, *layers}]
        try:
            with evaluating(list(named)):
                run()
        finally:
            for hook in hooks:
                hook.remove()
    called = [module for module in seen if _is_layer(module)]
    order = [*called, *(module for module in layers if module not in seen)]
    visits = tuple(Visit(named[module], module, *seen.get(module, ((), None))) for module in order)
    return Walk(visits, seen.get(model, ((), None))[0])


def _is_layer(module: nn.Module) -> bool:
    return next(module.children(), None) is None or any(p is not None for p in module._parameters.values())


def _tensors(values: tuple[Any, ...]) -> Iterator[Tensor]:
    """The tensors in `values`, including nested tuples."""
    for value in values:
        if isinstance(value, PackedSequence):
            yield value.data.detach()
        elif isinstance(value, Tensor):
            yield value.detach()
        elif isinstance(value, (tuple, list)):
            yield from _tensors(tuple(value))
