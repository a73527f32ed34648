"""What the figures of health say about a training, in words: how grave, the probable cause, the variables to change.

The thresholds and the advice are judgements, drawn from how each figure is made (see `health.py`); they are where to
look first, not a proof.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tune_app.training.health import WEIGHTS

Grade = Literal["good", "fair", "poor", "unknown"]
Changes = tuple[tuple[str, str], ...]

FAIR, GOOD = 0.5, 0.75
"""From `GOOD` on nothing needs to change; below `FAIR` it is likely that something is wrong."""
ABSENT = {
    "neuron_utilisation": "Cannot be told: the task has no network or gives no probe, or there is no hidden layer.",
    "training_stability": "Too little history: it needs three epochs.",
    "parameter_efficiency": "Cannot be told: the task has no network or gives no probe, or there is no hidden layer.",
    "gradient_health": "Cannot be told: the task has no network or gives no probe, or fewer than two layers get a "
    "gradient.",
    "convergence_quality": "Too little history: it needs four epochs.",
    "accuracy_consistency": "Too little history: it needs four epochs.",
}
"""Why a figure is absent."""
CAUSES = {
    "neuron_utilisation": "Hidden units have fallen silent: steps that are too large push them to where they no longer "
    "react to the input.",
    "training_stability": "The training loss rises again and again: the steps are too large, or too noisy.",
    "parameter_efficiency": "The network is wider than the features that it makes: a narrower one may do as well.",
    "gradient_health": "The gradient changes by decades between the layers: it vanishes or explodes with depth.",
    "convergence_quality": "The loss ends above its lowest value: it never settled, or rose again.",
    "accuracy_consistency": "The main metric falls back between epochs: the steps are too large, or too few rows "
    "validate.",
}
CHANGES: dict[str, Changes] = {
    "neuron_utilisation": (
        ("learning_rate", "lower"),
        ("activation", "silu or gelu: they do not fall silent below zero as relu does"),
        ("batch_norm", "on: it keeps units where they react"),
        ("warmup_epochs", "more: the first steps are then small"),
    ),
    "training_stability": (
        ("learning_rate", "lower"),
        ("warmup_epochs", "more: the first steps are then small"),
        ("gradient_clip", "on, for instance 1: it bounds each step"),
        ("batch_size", "larger: its gradients are less noisy"),
    ),
    "parameter_efficiency": (
        ("filters", "fewer"),
        ("dense_width", "smaller"),
        ("units", "fewer"),
        ("embedding_size", "smaller"),
        ("n_embd", "smaller"),
    ),
    "gradient_health": (
        ("batch_norm", "on: it evens the gradient out"),
        ("activation", "another: each passes gradients on in its own way"),
        ("conv_layers", "fewer"),
        ("dense_layers", "fewer"),
        ("layers", "fewer"),
        ("n_layer", "fewer"),
    ),
    "convergence_quality": (("learning_rate", "lower"), ("schedule", "cosine: it lets the loss settle")),
    "accuracy_consistency": (
        ("learning_rate", "lower"),
        ("schedule", "cosine: the last steps are then small"),
        ("batch_size", "larger: its gradients are less noisy"),
        ("validation_fraction", "larger: few rows make a metric jump"),
    ),
}
STILL_FALLING: Changes = (("epochs", "more"), ("learning_rate", "higher"))
OVERFITTED: Changes = (
    ("dropout", "more"),
    ("dense_dropout", "more"),
    ("weight_decay", "more"),
    ("label_smoothing", "more"),
    ("training_fraction", "larger: more rows to learn from"),
    ("epochs", "fewer"),
)


@dataclass(frozen=True)
class Finding:
    """What one figure says.

    Attributes:
        cause: the probable cause in a sentence; why the figure is absent where it is; empty where it is good.
        changes: variables of the task to change, and how; empty where the figure is good or absent.
    """

    figure: str
    value: float | None
    grade: Grade
    cause: str
    changes: Changes


def grade_of(value: float | None) -> Grade:
    """How a figure, or the overall one, is judged."""
    if value is None:
        return "unknown"
    return "good" if value >= GOOD else "fair" if value >= FAIR else "poor"


def findings(
    figures: Mapping[str, float | None],
    variables: Collection[str],
    history: Sequence[Mapping[str, float | None]] = (),
) -> list[Finding]:
    """What each of the six figures says, what costs the most of the overall figure first and what is absent last.

    Args:
        figures: by name, as `health.health` gives them.
        variables: names of the task's variables; others are not advised.
        history: the metrics of each epoch, from which the cause of a poor convergence is told; may be empty.
    """
    found = [_finding(name, figures.get(name), variables, history) for name in WEIGHTS]
    return sorted(found, key=lambda one: -WEIGHTS[one.figure] * (0.0 if one.value is None else 1.001 - one.value))


def _finding(
    name: str, value: float | None, variables: Collection[str], history: Sequence[Mapping[str, float | None]]
) -> Finding:
    grade = grade_of(value)
    if grade == "unknown":
        return Finding(name, None, grade, ABSENT[name], ())
    if grade == "good":
        return Finding(name, value, grade, "", ())
    cause, changes = _convergence(history) if name == "convergence_quality" else (CAUSES[name], CHANGES[name])
    return Finding(name, value, grade, cause, tuple(pair for pair in changes if pair[0] in variables))


def _convergence(history: Sequence[Mapping[str, float | None]]) -> tuple[str, Changes]:
    """The three ways in which a loss does not come to rest at its lowest value, told apart by where that lies."""
    general = CAUSES["convergence_quality"], CHANGES["convergence_quality"]
    name = next((name for name in ("val_loss", "train_loss") if any(row.get(name) is not None for row in history)), "")
    losses = {epoch: loss for epoch, row in enumerate(history, start=1) if (loss := row.get(name)) is not None}
    if len(losses) < 2:
        return general
    lowest = min(losses, key=lambda epoch: losses[epoch])
    if lowest == max(losses):
        return "The loss was still falling when the training ended.", STILL_FALLING
    if lowest == min(losses):
        return "The loss never fell below that of the first epoch: the steps are too large.", general[1]
    before, after = history[lowest - 1].get("train_loss"), history[-1].get("train_loss")
    if name == "val_loss" and before is not None and after is not None and after < before:
        return (
            f"The validation loss has risen since epoch {lowest} while the training loss went on falling: "
            "the network overfits.",
            OVERFITTED,
        )
    return f"The loss was lowest in epoch {lowest} and has risen or swung since.", general[1]
