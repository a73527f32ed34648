"""Optimizers by name, and the steps of a training: shared by our tasks."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop")
SCHEDULES = ("constant", "cosine", "step", "linear")
PRECISIONS = ("fp32", "bf16")


def build_optimizer(
    name: str,
    parameters: Iterable[torch.nn.Parameter],
    *,
    learning_rate: float,
    momentum: float,
    weight_decay: float,
) -> torch.optim.Optimizer:
    """Create the optimizer `name`; `momentum` only affects sgd and rmsprop.

    `weight_decay` is decoupled from the gradient for adamw and an L2 penalty for the others, as torch does it.
    The fused variants update all parameters in one call, which matters for small models.
    """
    if name == "sgd":
        return lean(torch.optim.SGD)(
            parameters, lr=learning_rate, momentum=momentum, weight_decay=weight_decay, fused=True
        )
    if name == "adam":
        return lean(torch.optim.Adam)(parameters, lr=learning_rate, weight_decay=weight_decay, fused=True)
    if name == "adamw":
        return lean(torch.optim.AdamW)(parameters, lr=learning_rate, weight_decay=weight_decay, fused=True)
    assert name == "rmsprop", name
    return lean(torch.optim.RMSprop)(parameters, lr=learning_rate, momentum=momentum, weight_decay=weight_decay)


def import_for_optimizers() -> None:
    """Import what torch imports for the first optimizer of a process that is not `lean`.

    It takes a second, and many on a busy machine: a short time limit would count it, and the next process, too.
    """
    torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])


OptimizerT = TypeVar("OptimizerT", bound=torch.optim.Optimizer)


def lean(kind: type[OptimizerT]) -> type[OptimizerT]:
    """The optimizer `kind` without its guards against `torch.compile`, which nothing here uses.

    The guards import ``torch._dynamo``, which takes as long as importing torch itself, in every process of a sweep.
    """
    plain = {name: inspect.unwrap(getattr(kind, name)) for name in ("add_param_group", "state_dict", "load_state_dict")}
    step = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), {**plain, "step": step})


def learning_rate_factor(schedule: str, step: int, total: int, warmup: float) -> float:
    """The factor of the learning rate at batch `step` (from 0) of `total`.

    It rises linearly over the first `warmup` batches. Over the batches that remain: ``constant`` stays at 1;
    ``cosine`` falls to 0 along half a cosine (Loshchilov & Hutter 2017, one cycle); ``linear`` falls to 0;
    ``step`` is divided by ten at half and again at three quarters (He et al. 2016).
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = min(1.0, (step - warmup) / max(1.0, total - warmup))
    if schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * done))
    if schedule == "linear":
        return 1.0 - done
    if schedule == "step":
        return 1.0 if done < 0.5 else 0.1 if done < 0.75 else 0.01
    assert schedule == "constant", schedule
    return 1.0


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """The autocast context of a forward pass: bf16 computes matrix products in bfloat16 and keeps the weights in
    float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def count_batches(rows: int, batch_size: int) -> int:
    """Batches per epoch, of even size, never with a single remaining row, which batch normalization does not
    support."""
    return -(-rows // batch_size)


@dataclass
class Optimization:
    """The steps of one training: optimizer, learning rate over the steps, clipping.

    Attributes:
        learning_rate: after warmup, before the schedule lowers it.
        schedule: one of `SCHEDULES`, over `total_steps`.
        warmup: steps over which the learning rate rises.
        gradient_clip: maximum norm of the gradient over all parameters; 0: no clipping.
        floor: the minimum of the schedule, as a fraction of the learning rate.
        steps: steps done.
        rate: the learning rate of the next step, on a GPU, where a CUDA graph reads it; None on the CPU.
    """

    optimizer: torch.optim.Optimizer
    learning_rate: float
    schedule: str
    total_steps: int
    warmup: float
    gradient_clip: float
    floor: float = 0.0
    steps: int = 0
    parameters: list[nn.Parameter] = field(init=False, repr=False)
    rate: Tensor | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        device = self.parameters[0].device
        self.rate = torch.zeros((), device=device) if device.type == "cuda" else None
        self._fit_to_device()

    def _fit_to_device(self) -> None:
        """On a GPU, keep everything that changes between steps there; a checkpoint may come from another device."""
        for group in self.optimizer.param_groups:
            if "capturable" in group:
                group["capturable"] = self.rate is not None
            if self.rate is not None:
                group["lr"] = self.rate

    def advance(self) -> None:
        """Begin the next step: set its learning rate. Not captured in CUDA graphs, see `step_graphs`."""
        factor = learning_rate_factor(self.schedule, self.steps, self.total_steps, self.warmup)
        if self.steps >= self.warmup:
            factor = self.floor + (1.0 - self.floor) * factor
        if self.rate is not None:
            self.rate.fill_(self.learning_rate * factor)
        else:
            for group in self.optimizer.param_groups:
                group["lr"] = self.learning_rate * factor
        self.steps += 1

    def follow(self, loss: Tensor) -> None:
        """Take one optimizer step on `loss`, at the learning rate set by `advance`, without waiting for a GPU."""
        for parameter in self.parameters:
            parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        if self.gradient_clip > 0:
            nn.utils.clip_grad_norm_(self.parameters, self.gradient_clip)
        self.optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's state and the steps done."""
        return {"optimizer": self.optimizer.state_dict(), "steps": self.steps}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        self.optimizer.load_state_dict(saved["optimizer"])
        self._fit_to_device()
        self.steps = saved["steps"]
