"""Training steps as CUDA graphs: a step is captured once and then runs with one launch instead of hundreds.

In a step of a small network, the GPU waits for Python to start the next kernel. A graph contains all kernels with their
memory addresses, so each batch is copied to where the captured step reads it. The results are the same: a graph has the
kernels of the step in order, and torch provides the random numbers that they would have drawn. A step to be captured
must never wait for the GPU, or pass it a Python number that changes between steps.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tune_app.errors import one_line
from tune_app.tasks import replica

WARM_UPS = 2
"""How often a batch shape trains as usual before it is captured. The first time lets the optimizer and CUDA's
libraries allocate persistent memory; capturing rarer shapes costs more than it saves."""
MOST_GRAPHS = 32
"""Maximum number of captured shapes: each graph uses GPU memory."""

log = logging.getLogger("tune_app")

Step = Callable[..., Tensor]
"""Trains once on a tensor of rows, with some sizes as numbers, and returns the loss without its autograd graph."""


@dataclass(frozen=True)
class Recording:
    """A graph, the rows that it reads and the loss that it writes."""

    graph: torch.cuda.CUDAGraph
    rows: Tensor
    loss: Tensor


class StepGraphs:
    """The captured steps of one training, a graph for each batch shape.

    Attributes:
        why_not: why no step is captured, in words; None if steps are. Setting it disables the graphs.
    """

    why_not: str | None

    def __init__(self, device: torch.device) -> None:
        self.why_not = None
        if device.type != "cuda":
            self.why_not = f"CUDA graphs need a CUDA GPU, but this training runs on `{device.type}`"
        elif replica.in_group():
            self.why_not = "several devices train together, and their communication cannot be captured"
        self._device = device
        self.forget()

    @property
    def recorded(self) -> int:
        """Number of captured shapes."""
        return len(self._recordings)

    def forget(self) -> None:
        """Drop all graphs, because the tensors that they read and write were replaced."""
        self._recordings: dict[tuple[int, ...], Recording] = {}
        self._seen: Counter[tuple[int, ...]] = Counter()

    def run(self, step: Step, rows: Tensor, *sizes: int) -> Tensor:
        """Train once on `rows`, with `step` itself or its graph; the loss is valid until the next call.

        Apart from `rows` and `sizes`, `step` must do the same at every call.
        """
        if self.why_not is not None:
            return step(rows, *sizes)
        shape = (*rows.shape, *sizes)
        if shape not in self._recordings:
            self._seen[shape] += 1
            if self._seen[shape] <= WARM_UPS:
                return _beside(self._device, step, rows, *sizes)
            if len(self._recordings) == MOST_GRAPHS or not self._record(shape, step, rows, *sizes):
                return step(rows, *sizes)
        recording = self._recordings[shape]
        recording.rows.copy_(rows)
        recording.graph.replay()
        return recording.loss

    def _record(self, shape: tuple[int, ...], step: Step, rows: Tensor, *sizes: int) -> bool:
        """Capture `step`, without training; if that fails, `why_not` says why."""
        if not self._recordings:
            # One memory pool for all graphs: they run one at a time, and none needs another's data.
            self._pool = torch.cuda.graph_pool_handle()
        graph, rows = torch.cuda.CUDAGraph(), rows.clone()
        try:
            loss = _recorded(self._device, graph, self._pool, functools.partial(step, rows, *sizes))
        except Exception as error:  # for any error, training as usual either works or raises it again
            self.why_not = f"capturing the step failed: {type(_first(error)).__name__}: {one_line(_first(error))}"
            log.warning("Training without CUDA graphs, which is slower but gives the same numbers: %s", self.why_not)
            _recover(self._device, self._pool)
            self.forget()
            return False
        self._recordings[shape] = Recording(graph, rows, loss)
        return True


@functools.cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """The stream for capturing: CUDA cannot capture its default stream. cuBLAS keeps a workspace for each stream."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _beside(device: torch.device, step: Step, rows: Tensor, *sizes: int) -> Tensor:
    """Train once on the capture stream, so that persistent memory is allocated there before the capture."""
    stream, current = _stream(device), torch.cuda.current_stream(device)
    stream.wait_stream(current)
    with torch.cuda.stream(stream):
        loss = step(rows, *sizes)
    current.wait_stream(stream)
    return loss


def _recorded(
    device: torch.device, graph: torch.cuda.CUDAGraph, pool: torch.cuda._POOL_HANDLE, step: Callable[[], Tensor]
) -> Tensor:
    """Capture `step` in `graph`; other threads of the process may use the GPU in the meantime."""
    current = torch.cuda.current_stream(device)
    try:
        with torch.cuda.graph(graph, pool, _stream(device), capture_error_mode="thread_local"):
            return step()
    finally:
        torch.cuda.set_stream(current)  # torch does not if ending the capture raises


def _recover(device: torch.device, pool: torch.cuda._POOL_HANDLE) -> None:
    """Make torch notice that a failed capture is over, so that this process can continue training.

    If CUDA refuses to end a capture, torch's allocator believes that it continues and soon crashes the process
    (pytorch/pytorch#180395), and in some versions so does its random generator, until the next capture ends.
    """
    with contextlib.suppress(RuntimeError):  # raised by the allocator if it knows
        torch._C._cuda_endAllocateToPool(torch.cuda.current_device(), pool)
    other = torch.cuda.graph_pool_handle()
    _recorded(device, torch.cuda.CUDAGraph(), other, lambda: torch.zeros(1, device=device))


def _first(error: BaseException) -> BaseException:
    """The original error: later failures while the capture ends are less helpful."""
    while error.__context__ is not None:
        error = error.__context__
    return error
