"""Measures a network's layers with hooks in one forward and backward pass over a task's probe."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils.rnn import PackedSequence

from tune_app.errors import WorkFailed
from tune_app.training.health import Layer, Reading

DORMANT = 0.025
"""A unit whose deviation is at most this fraction of its layer's mean deviation is dormant; the smaller of the two
thresholds in Sokar et al. (2023)."""
SAMPLES = 256
"""Number of activations, each of one row and position, used to compute a layer's dimensions."""
LATENCY_S = 0.05
"""Seconds of repeated passes; the latency is the shortest one, because other load on the machine only makes passes
longer."""
MOST_PASSES = 200


class ProbeError(WorkFailed):
    """The task's `probe_loss` broke its contract."""


@dataclass
class _Trace:
    """One layer while the network is being read.

    Attributes:
        axis: of `made` and `output`, along which its units are.
        made: the layer's own output.
        output: the output of the modules that relay its units; `made` if there are none.
    """

    axis: int
    units: int
    parameters: int
    made: Tensor
    output: Tensor


def read_network(model: nn.Module, probe_loss: Callable[[], Tensor]) -> Reading:
    """Measure the layers of `model` in one forward and backward pass of `probe_loss`.

    A layer begins at a module without children that owns a matrix (a linear map, a convolution, an embedding, a
    recurrent module, with its parametrizations) and includes the modules that get its output unchanged and keep its
    units: normalization, pooling, activation. So units are judged by the output of the activation, if that is a
    module. A module that is called several times counts by its last call. The layer that is computed last is the
    output; the others are hidden.

    A unit is used if its deviation over the probe's rows and positions is more than `DORMANT` of its layer's mean
    deviation and of its own mean, and if the gradient of the loss by the layer's output is not always zero.

    The pass runs in evaluation mode: no dropout, and batch normalization by its running statistics. The training is
    not affected: modes, `grad` and buffers stay unchanged, and no hook is left.

    Raises:
        ProbeError: `probe_loss` did not return one number with its graph.
    """
    return _read_traces(model, probe_loss)[1]


def read_by_name(model: nn.Module, probe_loss: Callable[[], Tensor]) -> dict[str, Layer]:
    """The hidden layers of `read_network`, by the paths of their modules in the network.

    Raises:
        ProbeError: as `read_network`.
    """
    traced, reading = _read_traces(model, probe_loss)
    names = {module: name for name, module in model.named_modules()}
    return {names[module]: layer for module, layer in zip(traced, reading.layers, strict=False)}


def _read_traces(model: nn.Module, probe_loss: Callable[[], Tensor]) -> tuple[list[nn.Module], Reading]:
    """The modules at which layers begin, the output layer's last, and what was read."""
    modules = list(model.modules())
    with _tracing(modules) as traces, evaluating(modules), torch.enable_grad():
        loss = probe_loss()
    if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.requires_grad:
        raise ProbeError(f"`probe_loss` must return one number with its graph, but returned {loss!r:.200}")
    return list(traces), _read(list(traces.values()), loss) if traces else Reading((), ())


def latency_ms(model: nn.Module, probe_loss: Callable[[], Tensor]) -> float | None:
    """Minimum wall milliseconds of a forward pass of `model` per row of the probe, in evaluation mode.

    Only times the model itself, not what `probe_loss` does around it. None if the model's first argument is not a
    tensor whose first axis is the rows, or if `probe_loss` does not call the model as a whole.
    """
    times: list[float] = []
    started: list[tuple[int, float]] = []

    def before(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        if arguments and isinstance(arguments[0], Tensor) and arguments[0].dim():
            _wait(arguments[0])
            started.append((len(arguments[0]), time.perf_counter()))

    def after(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        if started:
            rows, begin = started.pop()
            _wait(arguments[0])
            times.append(1000.0 * (time.perf_counter() - begin) / max(1, rows))

    hooks = [model.register_forward_pre_hook(before), model.register_forward_hook(after)]
    try:
        with evaluating(list(model.modules())), torch.inference_mode():
            end = time.perf_counter() + LATENCY_S
            for number in range(MOST_PASSES):
                probe_loss()
                if number > 1 and time.perf_counter() > end:
                    break
    finally:
        for handle in hooks:
            handle.remove()
    return min(times) if times else None


def _wait(tensor: Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)


@contextmanager
def _tracing(modules: list[nn.Module]) -> Iterator[dict[nn.Module, _Trace]]:
    """Collect each layer's output, in the order of the calls; removes the hooks afterward."""
    traces: dict[nn.Module, _Trace] = {}
    latest: list[_Trace] = []

    def begin(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        latest.clear()
        traces.pop(module, None)
        tensor = _tensor(output)
        if tensor is not None:
            axis = 1 if isinstance(module, _ConvNd) else tensor.dim() - 1
            parameters = sum(p.numel() for p in owned[module] if p.requires_grad)
            traces[module] = _Trace(axis, tensor.shape[axis], parameters, tensor, tensor)
            latest.append(traces[module])

    def relay(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        if latest and arguments and arguments[0] is latest[0].output:
            trace, tensor = latest[0], _tensor(output)
            if tensor is not None and tensor.dim() == trace.made.dim() and tensor.shape[trace.axis] == trace.units:
                trace.output = tensor

    owned = _owned_parameters(modules)

    def after(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        parameters = owned.get(module)
        if parameters is not None:
            owns_matrix = any(p.dim() > 1 for p in parameters)
            (begin if owns_matrix else relay)(module, arguments, output)

    # One hook for all modules: registering one per module takes 10% of a pass of a small network.
    hook = register_module_forward_hook(after)
    try:
        yield traces
    finally:
        hook.remove()


def _owned_parameters(modules: list[nn.Module]) -> dict[nn.Module, list[nn.Parameter]]:
    """The modules without children, each with its parameters.

    A module whose weight torch computes from others, as with `torch.nn.utils.parametrizations.weight_norm`, is one of
    them and owns these; the module that computes it is not.
    """
    owned: dict[nn.Module, list[nn.Parameter]] = {}
    computing: set[nn.Module] = set()
    for module in modules:  # modules come before their children
        if module in computing:
            continue
        # Not `module.parameters()`, which takes as long as a pass of a small network.
        parameters = [p for p in module._parameters.values() if p is not None]
        children = dict(module._modules)
        if (parametrizations := children.pop("parametrizations", None)) is not None:
            computing.update(parametrizations.modules())
            parameters += parametrizations.parameters()
        if not children:
            owned[module] = parameters
    return owned


def _tensor(output: Any) -> Tensor | None:
    """The activations in a module's output, at least rows by units; recurrent modules return them with their state."""
    while isinstance(output, tuple) and output and not isinstance(output, PackedSequence):
        output = output[0]
    if isinstance(output, PackedSequence):
        output = output.data
    return output if isinstance(output, Tensor) and output.is_floating_point() and output.dim() > 1 else None


def _read(traces: list[_Trace], loss: Tensor) -> Reading:
    hidden = traces[:-1]
    with torch.no_grad():
        norms, reached = _gradient_norms(traces, loss)
        deviations, means, spreads, roots = zip(*map(_activity, hidden), strict=True) if hidden else ((), (), (), ())
        # One transfer for all figures: on a GPU, each one would wait for the device.
        numbers = torch.cat([*deviations, *means, *norms, *spreads, *roots]).cpu().numpy()
    # And all layers in one array: numpy's operations take as long for one small layer as for all.
    units = [trace.units for trace in traces]
    inner, every = sum(units[:-1]), sum(units)
    sizes = (inner, inner, every, len(hidden), len(hidden))
    deviation, mean, norm, spread, root = (
        numbers[end - size : end] for size, end in zip(sizes, itertools.accumulate(sizes), strict=True)
    )
    used = deviation > DORMANT * np.maximum(abs(mean), spread.repeat(units[:-1]))
    # If the loss has no gradient at all (solved to the last bit), it cannot identify used units.
    if reached[-1] and norm[inner:].any():
        used &= norm[:inner] != 0
    starts = [end - size for size, end in zip(units, itertools.accumulate(units), strict=True)]
    counts = np.add.reduceat(used, starts[:-1], dtype=int).tolist() if hidden else []
    dimensions = [value**2 if math.isfinite(value) else 0.0 for value in root.tolist()]
    layers = map(Layer, units, counts, dimensions, [trace.parameters for trace in hidden])
    gradients = np.sqrt(np.add.reduceat(norm.astype(float) ** 2, starts)).tolist()
    return Reading(tuple(layers), tuple(itertools.compress(gradients, reached)))


def _activity(trace: _Trace) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Deviation and mean of each unit, mean deviation, and the root of the dimensions that the layer fills."""
    samples = trace.output.movedim(trace.axis, -1).reshape(-1, trace.units).float()
    deviation, mean = torch.std_mean(samples, 0, correction=0)
    spread = deviation.mean(0, keepdim=True)
    # An odd step, to avoid sampling the same pixel or token of every row.
    some = samples[:: max(1, len(samples) // SAMPLES) | 1][:SAMPLES]
    # Divided, because the fourth power of large activations would overflow.
    centered = (some - mean) / spread
    # Both products have the same eigenvalues except for zeros.
    scatter = centered @ centered.T if len(centered) < trace.units else centered.T @ centered
    root = scatter.trace() / torch.linalg.vector_norm(scatter)
    return deviation, mean, spread, root.view(1)


def _gradient_norms(traces: list[_Trace], loss: Tensor) -> tuple[list[Tensor], list[bool]]:
    """Norm of the gradient by each unit of each layer; NaN for a layer to which none is carried back; and to which."""
    # Only with respect to the layers' outputs: the gradients of the weights, most of the work, are not computed.
    tried = [trace for trace in traces if trace.made.requires_grad]
    found = iter(torch.autograd.grad(loss, [trace.made for trace in tried], allow_unused=True))
    gradients = [next(found) if trace.made.requires_grad else None for trace in traces]
    norms = []
    for trace, gradient in zip(traces, gradients, strict=True):
        if gradient is None:
            norms.append(loss.new_full((trace.units,), math.nan, dtype=torch.float32))
        else:
            others = [axis for axis in range(gradient.dim()) if axis != trace.axis]
            wide = torch.promote_types(gradient.dtype, torch.float32)
            norms.append(torch.linalg.vector_norm(gradient, dim=others, dtype=wide))
    return norms, [gradient is not None for gradient in gradients]


@contextmanager
def evaluating(modules: list[nn.Module]) -> Iterator[None]:
    """Evaluation mode briefly; every module has its own mode and dropout back afterwards."""
    recurrent = [(module, module.dropout) for module in modules if isinstance(module, nn.RNNBase)]
    training = [module for module in modules if module.training]
    for module in training:
        module.training = False
    for rnn, _ in recurrent:
        # cuDNN computes gradients of a recurrent module in training mode only.
        rnn.training, rnn.dropout = True, 0.0
    try:
        yield
    finally:
        for rnn, dropout in recurrent:
            rnn.training, rnn.dropout = False, dropout
        for module in training:
            module.training = True
