"""What the health scores mean, in words: how serious, the probable cause, and the variables to change.

The thresholds and the advice are judgments based on how each score is computed (see `health.py`): a starting point,
not a proof.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tune_app.training.health import WEIGHTS

Grade = Literal["good", "fair", "poor", "unknown"]
Changes = tuple[tuple[str, str], ...]

FAIR, GOOD = 0.5, 0.75
"""At `GOOD` or above, nothing needs to change; below `FAIR`, something is probably wrong."""
ABSENT = {
    "neuron_utilization": "Unknown: the task has no network or no probe, or there is no hidden layer.",
    "training_stability": "Too little history: it needs three epochs.",
    "parameter_efficiency": "Unknown: the task has no network or no probe, or there is no hidden layer.",
    "gradient_health": "Unknown: the task has no network or no probe, or fewer than two layers get a gradient.",
    "convergence_quality": "Too little history: it needs four epochs.",
    "accuracy_consistency": "Too little history: it needs four epochs.",
}
"""Why a score is missing."""
CAUSES = {
    "neuron_utilization": "Hidden units have died: steps that are too large push them to where they no longer react "
    "to the input.",
    "training_stability": "The training loss keeps rising: the steps are too large or too noisy.",
    "parameter_efficiency": "The network is wider than its features need: a narrower one may do as well.",
    "gradient_health": "The gradient changes by orders of magnitude between layers: it vanishes or explodes with "
    "depth.",
    "convergence_quality": "The loss ends above its lowest value: it never settled, or it rose again.",
    "accuracy_consistency": "The main metric drops between epochs: the steps are too large, or there are too few "
    "validation rows.",
}
CHANGES: dict[str, Changes] = {
    "neuron_utilization": (
        ("learning_rate", "lower"),
        ("activation", "silu or gelu: unlike relu, they do not die below zero"),
        ("batch_norm", "on: it keeps units in their active range"),
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
        ("batch_norm", "on: it evens out the gradient"),
        ("activation", "another one: each passes gradients on differently"),
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
    """The diagnosis of one score.

    Attributes:
        cause: the probable cause in a sentence, or why the score is missing; empty if it is good.
        changes: variables of the task to change, and how; empty if the score is good or missing.
    """

    score: str
    value: float | None
    grade: Grade
    cause: str
    changes: Changes


def grade_of(value: float | None) -> Grade:
    """The grade of a score, or of the overall one."""
    if value is None:
        return "unknown"
    return "good" if value >= GOOD else "fair" if value >= FAIR else "poor"


def findings(
    scores: Mapping[str, float | None],
    variables: Collection[str],
    history: Sequence[Mapping[str, float | None]] = (),
) -> list[Finding]:
    """The diagnoses of the six scores, those that cost the overall score most first, missing ones last.

    Args:
        scores: by name, as returned by `health.health`.
        variables: names of the task's variables; there is no advice about others.
        history: the metrics of each epoch, to find the cause of poor convergence; may be empty.
    """
    found = [_finding(name, scores.get(name), variables, history) for name in WEIGHTS]
    return sorted(found, key=lambda one: -WEIGHTS[one.score] * (0.0 if one.value is None else 1.001 - one.value))


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
    """The three ways in which a loss does not settle at its lowest value, distinguished by where that is."""
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
            f"The validation loss has risen since epoch {lowest} while the training loss kept falling: "
            "the network overfits.",
            OVERFITTED,
        )
    return f"The loss was lowest in epoch {lowest} and has risen or swung since.", general[1]
