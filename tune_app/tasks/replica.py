"""This process's part of a data-parallel training, based on the state of torch.distributed.

Without a process group, everything here returns its input: a training on one device runs as if this module did not
exist. In a group of N ranks a task draws each batch, and all randomness that makes it, as it would alone; then each
rank trains on its own rows of it, and the gradients, the summed loss and batch normalization are those of the whole
batch. So N devices learn the same as one, except for the order of floating-point sums, and for dropout.

A task that says `data_parallel = True` (see `tune_app.tasks.task.DataParallel`) wraps its model in `start` and does
four things in `train_epoch`:

    mine = replica.part_of(batch)                             # after the whole batch was drawn
    with replica.own_randomness(device, number):              # dropout differs from rank to rank
        loss = replica.weigh(loss_of(network(mine)), len(mine), len(batch))
    total = replica.mean(total)                               # at the end: the epoch's sum of such losses
    if not replica.leads(): return {}                         # only the first rank validates
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.nn.parallel import DistributedDataParallel

TIMEOUT = timedelta(minutes=5)
"""How long a rank waits for another one; a dead rank is noticed immediately, or by Ray."""

OVER_ROWS = (0, 2, 3)
"""The axes of (batch, channels, height, width) that batch normalization sums over."""

Rows = TypeVar("Rows", bound=Tensor)


def open_store(host: str) -> tuple[TCPStore, int]:
    """Start the rendezvous store on the first rank; returns it and its port at `host`."""
    # It picks the port itself, so that nobody else can take it in the meantime.
    store = TCPStore(host, 0, is_master=True, wait_for_workers=False, timeout=TIMEOUT)
    return store, store.port


def join(store: TCPStore | tuple[str, int], rank: int, size: int, device: str | torch.device) -> None:
    """Become rank number `rank` of `size`: NCCL for GPUs, each rank its own, gloo for CPUs; returns when all are
    connected.

    Args:
        store: of `open_store` on the first rank, its host and port on the others.

    Raises:
        torch.distributed.DistError: the others did not connect within `TIMEOUT`.
    """
    if isinstance(store, tuple):
        store = TCPStore(store[0], store[1], is_master=False, timeout=TIMEOUT)
    if torch.device(device).type == "cuda":
        device = torch.device("cuda", torch.cuda.current_device())
        distributed.init_process_group(
            "nccl", store=store, rank=rank, world_size=size, timeout=TIMEOUT, device_id=device
        )
    else:
        distributed.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=TIMEOUT)


def in_group() -> bool:
    """Whether this process is one of several that train together."""
    return distributed.is_available() and distributed.is_initialized()


def leads() -> bool:
    """Whether this process is the first rank, or alone: the one that validates and whose metrics count."""
    return not in_group() or distributed.get_rank() == 0


def part_of(rows: Rows) -> Rows:
    """This rank's share of a batch, along its first axis; shares differ by one row at most, and may be empty."""
    if not in_group():
        return rows
    return rows.tensor_split(distributed.get_world_size())[distributed.get_rank()]  # type: ignore[return-value]


def weigh(loss: Tensor, rows: int, batch: int) -> Tensor:
    """`loss`, the mean over this rank's `rows` rows of a batch of `batch`, so that its mean over ranks is the batch's.

    DistributedDataParallel averages gradients over the ranks, regardless of their number of rows.
    """
    if not in_group():
        return loss
    if rows == 0:
        return loss.nan_to_num()  # the mean over no rows, whose gradient is zero
    return loss * (rows * distributed.get_world_size() / batch)


def mean(total: Tensor) -> Tensor:
    """The mean of `total` over the ranks; all of them must call it."""
    if not in_group():
        return total
    total = total.clone()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()


def wrap(model: nn.Module) -> nn.Module:
    """The wrapper of `model` for training passes, which averages the gradients over the ranks.

    The parameters stay those of `model`; create it once all ranks have built or restored the same ones. Evaluation and
    checkpoints use `model` itself, which does not wait for other ranks.
    """
    if not in_group():
        return model
    network = DistributedDataParallel(model)
    # Not with the argument, whose name depends on torch's version. Buffers are computed from whole batches, see
    # `BatchNorm2d`, and so are the same everywhere.
    network.broadcast_buffers = False
    return network


@contextmanager
def own_randomness(device: torch.device, number: int) -> Iterator[None]:
    """Rank-specific random numbers for the forward pass of batch `number` of an epoch.

    Afterwards, the generators are restored: the batches are drawn as on one device, and the ranks stay in step, even if
    one has fewer rows for dropout.
    """
    if not in_group():
        yield
        return
    seed = np.random.SeedSequence([torch.initial_seed(), number, distributed.get_rank()]).generate_state(1)[0]
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(seed))
        yield


class BatchNorm2d(nn.BatchNorm2d):
    """Batch normalization over the batch of all ranks; on one device, identical to torch's.

    ``torch.nn.SyncBatchNorm`` does the same, but only on GPUs. The ranks' statistics are combined as in Chan et al.
    (1979), which avoids the cancellation of sums of squares. Checkpoints have the format of ``BatchNorm2d``.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(batch, channels, height, width) to the same shape."""
        if not (in_group() and self.training):
            return super().forward(input)
        output, mean, variance, count = _BatchNorm.apply(  # type: ignore[no-untyped-call]
            input.float(), self.weight, self.bias, self.eps
        )
        self._remember(mean, variance, count)
        normalized: Tensor = output.to(input.dtype)
        return normalized

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * count / (count - 1), self.momentum)


class _BatchNorm(torch.autograd.Function):
    """Normalization by the statistics of the rows of all ranks, with its gradient (Ioffe & Szegedy 2015).

    Explicit because autograd's version takes twice as long on a CPU; each direction needs one transfer.
    """

    @staticmethod
    def forward(
        context: Any, values: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The normalized values, then mean, variance and count, which have no gradient."""
        mean, variance, count = _batch_statistics(values)
        inverse = torch.rsqrt(variance + eps)
        context.save_for_backward(values, weight, mean, inverse, count)
        context.mark_non_differentiable(mean, variance, count)
        scale = weight * inverse
        return torch.addcmul(_per_channel(bias - mean * scale), values, _per_channel(scale)), mean, variance, count

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Gradients of the values, and of this rank's part of weight and bias, which DistributedDataParallel sums."""
        gradient = gradients[0]
        values, weight, mean, inverse, count = context.saved_tensors
        by_bias = gradient.sum(dim=OVER_ROWS)
        by_weight = (gradient * (values - _per_channel(mean))).sum(dim=OVER_ROWS) * inverse
        totals = torch.stack([by_bias, by_weight])
        distributed.all_reduce(totals)
        scale = weight * inverse
        slope = -scale * inverse * totals[1] / count
        offset = -scale * totals[0] / count - slope * mean
        by_statistics = torch.addcmul(_per_channel(offset), values, _per_channel(slope))
        return torch.addcmul(by_statistics, gradient, _per_channel(scale)), by_weight, by_bias, None


def _batch_statistics(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance (channels) of `values` over the rows of all ranks, and their count."""
    own_count = values.numel() // values.shape[1]
    own_mean = values.sum(dim=OVER_ROWS) / max(1, own_count)
    own_squares = (values - _per_channel(own_mean)).square_().sum(dim=OVER_ROWS)
    own = torch.stack([torch.full_like(own_mean, own_count), own_mean, own_squares])
    gathered = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(gathered, own)
    counts, means, squares = torch.stack(gathered, dim=1)
    count = counts[:, 0].sum()
    mean = (means * counts).sum(dim=0) / count
    variance = (squares + counts * (means - mean).square()).sum(dim=0) / count
    return mean, variance, count


def _per_channel(values: Tensor) -> Tensor:
    return values[:, None, None]
