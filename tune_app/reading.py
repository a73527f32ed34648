"""Reading a network: what hooks see of its layers in one forward and backward pass over a task's probe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.rnn import PackedSequence

from tune_app.errors import WorkFailed
from tune_app.health import Layer

DORMANT = 0.025
"""A unit whose deviation is at most this part of its layer's mean magnitude is dormant (Sokar et al., 2023)."""
SAMPLES = 256
"""Activations, each of one row and position, from which a layer's dimensions are told."""
REPEATS = 5
"""Passes of which the latency is the median, after one to warm up."""


class ProbeError(WorkFailed):
    """The task's `probe_loss` broke its contract."""


@dataclass
class _Trace:
    """One layer while the network is being read.

    Attributes:
        axis: of `output`, along which its units lie.
        output: what the layer gave, after the modules that relay its units.
        gradients: norm of the gradient by each unit of the layer's own output; None while none was carried back.
    """

    axis: int
    units: int
    parameters: int
    output: Tensor
    gradients: Tensor | None = None


def read_layers(model: nn.Module, probe_loss: Callable[[], Tensor]) -> list[Layer]:
    """The layers of `model` in one forward and backward pass of `probe_loss`, in the order of their computation.

    A layer begins at a module without children that owns a matrix (a linear map, a convolution, an embedding, a
    recurrent module) and takes in the modules that get its output as it is and keep its units: normalisation, pooling,
    activation. So units are judged by what comes out of the activation, where that is a module. A module that is
    called several times counts by its last call.

    The pass runs in evaluation mode: no dropout, and batch normalisation by its running statistics. Nothing of the
    training changes: neither the modes nor `grad` nor any buffer, and no hook is left.

    Raises:
        ProbeError: `probe_loss` gave something else than one number with a gradient.
    """
    traces: dict[nn.Module, _Trace] = {}
    hook = _tracing(traces)
    hooks = [m.register_forward_hook(hook) for m in model.modules() if next(m.children(), None) is None]
    try:
        with _evaluating(model), torch.enable_grad():
            loss = _checked(probe_loss())
            with torch.no_grad():
                # Before the gradient, which frees what the graph holds.
                activity = [_activity(trace) for trace in traces.values()]
            trained = [p for p in model.parameters() if p.requires_grad]
            torch.autograd.grad(loss, trained, allow_unused=True)
    finally:
        for handle in hooks:
            handle.remove()
    return _layers(list(traces.values()), activity)


def latency_ms(model: nn.Module, probe_loss: Callable[[], Tensor]) -> float | None:
    """Median wall milliseconds that a forward pass of `model` takes per row of the probe, in evaluation mode.

    Timed is the model itself, not what `probe_loss` does around it. None where the model's first argument is no tensor,
    whose first axis is the rows, or where `probe_loss` does not call the model as a whole.
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
        with _evaluating(model), torch.inference_mode():
            for _ in range(1 + REPEATS):
                probe_loss()
    finally:
        for handle in hooks:
            handle.remove()
    return sorted(times[1:])[len(times[1:]) // 2] if times[1:] else None


def _wait(tensor: Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)


def _tracing(traces: dict[nn.Module, _Trace]) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
    """A forward hook that keeps what each layer gives, and hooks its gradient."""
    latest: list[_Trace] = []

    def hook(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        tensor = _tensor(output)
        if tensor is None:
            return
        parameters = list(module.parameters(recurse=False))
        if any(p.dim() > 1 for p in parameters):
            axis = 1 if isinstance(module, _ConvNd) else tensor.dim() - 1
            count = sum(p.numel() for p in parameters if p.requires_grad)
            trace = _Trace(axis, tensor.shape[axis], count, tensor)
            traces.pop(module, None)
            traces[module] = trace
            latest[:] = [trace]
            if tensor.requires_grad:
                tensor.register_hook(_gradient_hook(trace))  # type: ignore[no-untyped-call]
        elif latest and arguments and arguments[0] is latest[0].output:
            trace = latest[0]
            if tensor.dim() == trace.output.dim() and tensor.shape[trace.axis] == trace.units:
                trace.output = tensor

    return hook


def _tensor(output: Any) -> Tensor | None:
    """The activations in what a module gave, at least rows by units; recurrent modules give them with their state."""
    while isinstance(output, tuple) and output and not isinstance(output, PackedSequence):
        output = output[0]
    if isinstance(output, PackedSequence):
        output = output.data
    return output if isinstance(output, Tensor) and output.is_floating_point() and output.dim() > 1 else None


def _gradient_hook(trace: _Trace) -> Callable[[Tensor], None]:
    def hook(gradient: Tensor) -> None:
        others = [axis for axis in range(gradient.dim()) if axis != trace.axis]
        # In float64, because the square of a gradient that has nearly vanished would be zero in float32.
        trace.gradients = torch.linalg.vector_norm(gradient.detach(), dim=others, dtype=torch.float64)

    return hook


def _checked(loss: object) -> Tensor:
    if not (isinstance(loss, Tensor) and loss.numel() == 1 and loss.requires_grad):
        found = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"{loss!r:.200}"
        if isinstance(loss, Tensor) and loss.numel() == 1:
            found = "one without"
        raise ProbeError(f"`probe_loss` must return one number with its graph, but returned {found}")
    return loss


def _activity(trace: _Trace) -> tuple[Tensor, Tensor]:
    """Which units of a layer vary, and how many dimensions its activations fill."""
    samples = trace.output.detach().movedim(trace.axis, -1).reshape(-1, trace.units).float()
    magnitude = samples.abs().mean()
    varies = samples.var(0, correction=0) > (DORMANT * magnitude) ** 2
    # An odd step, so that not the same pixel or token of every row is taken.
    some = samples[:: max(1, len(samples) // SAMPLES) | 1][:SAMPLES]
    centred = (some - some.mean(0)) / magnitude
    # Both products have the same eigenvalues but for zeros.
    scatter = centred @ centred.T if len(centred) < trace.units else centred.T @ centred
    dimensions = scatter.trace() ** 2 / scatter.square().sum()
    return varies, dimensions.nan_to_num(0.0, 0.0, 0.0)


def _layers(traces: list[_Trace], activity: list[tuple[Tensor, Tensor]]) -> list[Layer]:
    if not traces:
        return []
    output = traces[-1].gradients
    figures = []
    for trace, (varies, dimensions) in zip(traces, activity, strict=True):
        used, norm = varies, torch.full((), torch.nan, device=varies.device)
        if trace.gradients is not None:
            norm = torch.linalg.vector_norm(trace.gradients)
            # Where the loss has no gradient at all, solved to the last bit, units cannot be told by it.
            solved = False if output is None else (output == 0).all()
            used = varies & ((trace.gradients != 0) | solved)
        figures.append(torch.stack([used.sum().double(), dimensions.double(), norm.double()]))
    # One transfer for all figures: on a GPU each would wait for the device.
    numbers = torch.stack(figures).tolist()
    return [
        Layer(trace.units, int(used), dimensions, trace.parameters, None if trace.gradients is None else norm)
        for trace, (used, dimensions, norm) in zip(traces, numbers, strict=True)
    ]


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a moment; every module has its own mode and dropout back afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    recurrent = [(module, module.dropout) for module in model.modules() if isinstance(module, nn.RNNBase)]
    model.eval()
    for rnn, _ in recurrent:
        # cuDNN computes gradients of a recurrent module in training mode only.
        rnn.training, rnn.dropout = True, 0.0
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for rnn, dropout in recurrent:
            rnn.dropout = dropout
