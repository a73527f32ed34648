"""Optimisers by name, and the learning rate over a training: what every task of ours has in its training group."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop")
SCHEDULES = ("constant", "cosine", "step", "linear")


def build_optimizer(
    name: str,
    parameters: Iterable[torch.nn.Parameter],
    *,
    learning_rate: float,
    momentum: float,
    weight_decay: float,
) -> torch.optim.Optimizer:
    """Make the optimiser `name`; `momentum` matters to sgd and rmsprop only.

    `weight_decay` is decoupled from the gradient for adamw and an L2 penalty for the others, as torch does it.
    The fused variants update all parameters in one call, which is what counts for small models.
    """
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=learning_rate, momentum=momentum, weight_decay=weight_decay, fused=True)
    if name == "adam":
        return torch.optim.Adam(parameters, lr=learning_rate, weight_decay=weight_decay, fused=True)
    if name == "adamw":
        return torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay, fused=True)
    assert name == "rmsprop", name
    return torch.optim.RMSprop(parameters, lr=learning_rate, momentum=momentum, weight_decay=weight_decay)


def learning_rate_factor(schedule: str, step: int, total: int, warmup: float) -> float:
    """What the learning rate is multiplied by at batch `step` (from 0) of `total`.

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
