"""Variables that several tasks have, each with the default of its task, and the optimization that classifiers describe.

    @dataclass(frozen=True)
    class Settings:
        learning_rate: float = shared.learning_rate(5e-3)

Ranges, conditions and descriptions are the same in all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from torch import nn

from tune_app.spaces.variable import Categorical, Float, Int
from tune_app.tasks.optimization import OPTIMIZERS, PRECISIONS, SCHEDULES, Optimization, build_optimizer
from tune_app.tasks.settings import setting


class Optimized(Protocol):
    """The settings of a classifier that its optimization needs."""

    @property
    def optimizer(self) -> str: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def momentum(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def schedule(self) -> str: ...
    @property
    def warmup_epochs(self) -> float: ...
    @property
    def gradient_clip(self) -> float: ...


def optimization_of(
    settings: Optimized, parameters: Iterable[nn.Parameter], *, epochs: int, batches: int
) -> Optimization:
    """The optimization over `epochs` of `batches` batches each."""
    optimizer = build_optimizer(
        settings.optimizer,
        parameters,
        learning_rate=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )
    return Optimization(
        optimizer,
        learning_rate=settings.learning_rate,
        schedule=settings.schedule,
        total_steps=epochs * batches,
        warmup=settings.warmup_epochs * batches,
        gradient_clip=settings.gradient_clip,
    )


def optimizer() -> Any:
    return setting("training", Categorical(OPTIMIZERS), "adamw", "The optimizer.")


def learning_rate(default: float) -> Any:
    return setting(
        "training", Float(1e-6, 10.0, log=True), default, "Learning rate after warmup, before the schedule lowers it."
    )


def momentum() -> Any:
    return setting(
        "training",
        Float(0.0, 0.999),
        0.9,
        "Momentum of sgd and rmsprop.",
        when="optimizer == 'sgd' or optimizer == 'rmsprop'",
    )


def weight_decay() -> Any:
    return setting(
        "training", Float(0.0, 1.0), 1e-2, "Weight decay: decoupled for adamw, an L2 penalty for the others."
    )


def schedule() -> Any:
    return setting(
        "training",
        Categorical(SCHEDULES),
        "cosine",
        "How the learning rate changes: constant, down to 0 (cosine, linear), or in two steps to a hundredth.",
    )


def warmup_epochs(default: float) -> Any:
    return setting(
        "training",
        Float(0.0, 20.0),
        default,
        "Epochs, possibly a fraction, during which the learning rate rises from 0.",
    )


def label_smoothing() -> Any:
    return setting(
        "training", Float(0.0, 0.9), 0.0, "Fraction of each label spread evenly over all classes in the training loss."
    )


def gradient_clip(default: float) -> Any:
    return setting(
        "training", Float(0.0, 1000.0), default, "Maximum norm of the gradient over all parameters; 0: no clipping."
    )


def epochs(default: int) -> Any:
    return setting("training", Int(1, 10_000), default, "Epochs of a full training run; the schedule spans all.")


def precision() -> Any:
    return setting(
        "training", Categorical(PRECISIONS), "fp32", "Precision of the forward pass; the weights are always fp32."
    )


def training_fraction(rows: str) -> Any:
    return setting("data", Float(0.01, 1.0), 1.0, f"Fraction of the training {rows} (without validation) to use.")


def validation_fraction(rows: str) -> Any:
    return setting(
        "data",
        Float(0.01, 0.9),
        0.2,
        f"Fraction of the {rows} held out for validation: always the same ones, so that trials are comparable.",
        searchable=False,
    )


def temperature() -> Any:
    return setting(
        "inference", Float(0.01, 100.0, log=True), 1.0, "Divides the logits before they become probabilities."
    )
