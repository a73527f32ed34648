"""Health: six scores from 0 (sick) to 1 (healthy) that judge a training by more than its metric, and their mean.

Three use the network as read by `reading.py`, three the history of the metrics. A score is None if it is unknown: the
task has no network or no probe, the history is too short, or there is nothing to compare.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WEIGHTS = {
    "neuron_utilization": 0.25,
    "training_stability": 0.20,
    "parameter_efficiency": 0.15,
    "gradient_health": 0.15,
    "convergence_quality": 0.15,
    "accuracy_consistency": 0.10,
}
SCORES = (*WEIGHTS, "overall")
MEANINGS = {
    "neuron_utilization": "Fraction of the hidden units that the network uses. The others give the same output for "
    "every input, or do not affect the loss.",
    "training_stability": "Fraction of the training loss's movement that went down: 100% means that it never rises.",
    "parameter_efficiency": "How much of its width the network fills with distinct features. Low if the network is "
    "wider than necessary.",
    "gradient_health": "How evenly the gradient reaches the layers. Low if the gradient vanishes or explodes on the "
    "way.",
    "convergence_quality": "How much of its best descent the validation loss keeps at the end. Low if the loss never "
    "settled, or rose again.",
    "accuracy_consistency": "How little the main metric drops over the last five epochs, in jumps or steadily.",
    "overall": "Weighted mean of the available scores; unknown with fewer than three.",
}
"""What each score means, for users."""
LOST_DECADES = 24 * math.log10(2)
"""Orders of magnitude between two numbers at which float32, with 24 binary digits, loses the smaller one in a sum."""
LEAST_SCORES = 3
"""With fewer of the six, a score that cannot be low yet would look like a healthy training."""
LAST_EPOCHS = 3
"""Number of epochs averaged for the current level of a loss."""
LAST_STEPS = 5
"""Number of steps between epochs that show how consistent the main metric is."""

Health = dict[str, float | None]


@dataclass(frozen=True)
class Layer:
    """One hidden layer of a network.

    Attributes:
        units: features that it computes, such as the channels of a convolution.
        used: how many of them vary over the probe and affect the loss.
        dimensions: how many of the `units` directions the probe fills, as a participation ratio: 0 to `units`.
        parameters: trainable values in it.
    """

    units: int
    used: int
    dimensions: float
    parameters: int


@dataclass(frozen=True)
class Reading:
    """What `reading.py` measures on a network.

    Attributes:
        layers: the hidden layers, in the order in which the network computes them.
        gradients: norms of the gradient of the loss with respect to each layer's output, the output layer last; a layer
            that no gradient reaches has none.
    """

    layers: tuple[Layer, ...]
    gradients: tuple[float, ...]


def health(
    reading: Reading | None, history: Sequence[Mapping[str, float | None]], directions: Mapping[str, str]
) -> Health:
    """All of `SCORES`, after the epoch that `history` ends with.

    `overall` is the mean of the available scores, weighted by `WEIGHTS`; None with fewer than
    `LEAST_SCORES`.

    Args:
        reading: of the current network; None without a probe.
        history: the task's metrics of each epoch so far; epochs in which a metric is None do not count for it.
        directions: the task's metrics, the main one first, with the direction in which each is better.
    """
    main, direction = next(iter(directions.items()))
    sign = 1.0 if direction == "maximize" else -1.0
    training_loss, validation_loss = _values(history, "train_loss"), _values(history, "val_loss")
    layers, gradients = (reading.layers, reading.gradients) if reading else ((), ())
    scores: Health = {
        "neuron_utilization": neuron_utilization(layers),
        "training_stability": training_stability(training_loss or validation_loss),
        "parameter_efficiency": parameter_efficiency(layers),
        "gradient_health": gradient_health(gradients),
        "convergence_quality": convergence_quality(validation_loss or training_loss),
        "accuracy_consistency": accuracy_consistency([sign * value for value in _values(history, main)]),
    }
    return {**scores, "overall": overall(scores)}


def overall(scores: Mapping[str, float | None]) -> float | None:
    """Mean of the available scores, weighted by `WEIGHTS`; None with fewer than `LEAST_SCORES`."""
    there = {name: value for name in WEIGHTS if (value := scores.get(name)) is not None}
    if len(there) < LEAST_SCORES:
        return None
    return sum(WEIGHTS[name] * value for name, value in there.items()) / sum(WEIGHTS[name] for name in there)


def told(scores: Mapping[str, float | None]) -> str:
    """How many scores are available: ``1 of 6 scores``."""
    return f"{sum(scores.get(name) is not None for name in WEIGHTS)} of {len(WEIGHTS)} scores"


def neuron_utilization(layers: Sequence[Layer]) -> float | None:
    """Share of the hidden units that are used; each unit that falls silent lowers it.

    One minus the share of dormant units of Sokar et al. (2023), "The dormant neuron phenomenon in deep reinforcement
    learning": a unit is dormant if its score, relative to its layer's mean, is at most `reading.DORMANT`. Their
    score is the mean magnitude of the unit, ours its deviation over the probe: the same for a dead ReLU. To find a
    saturated tanh, too, a unit must also vary relative to its own mean. A unit by which the loss has no gradient on any
    row is not used, either; that shows dead units of activations which no hook sees. As in their work, the output layer
    does not count. None without hidden layers.
    """
    units = sum(layer.units for layer in layers)
    return sum(layer.used for layer in layers) / units if units else None


def parameter_efficiency(layers: Sequence[Layer]) -> float | None:
    """How much of its width the network fills: the wider it is for the same features, the lower.

    A layer's share is the dimensions that its activations fill over its units; the score is the mean over the hidden
    layers, each weighted with its parameters. Dimensions are the participation ratio of the activations' covariance
    C, tr(C)² / tr(C²), after Gao et al. (2017), "A theory of multineuronal dimensionality, dynamics and measurement";
    that features of far lower rank than width are parameters without use is the case of Kumar et al. (2021), "Implicit
    under-parameterization inhibits data-efficient deep reinforcement learning".

    A network that is widened by copying each unit k times, which has k² times the parameters and the same outputs, has
    1/k of the score. The probe bounds what can be found: no layer fills more dimensions than `reading.SAMPLES`. None
    without hidden layers.
    """
    parameters = sum(layer.parameters for layer in layers)
    if not parameters:
        return None
    return sum(layer.parameters * layer.dimensions / layer.units for layer in layers) / parameters


def gradient_health(norms: Sequence[float]) -> float | None:
    """How evenly the gradient reaches the layers: 1 if its norm is the same everywhere, lower as it decays or grows.

    The norms of the gradient by the layers' outputs are compared, as in Glorot and Bengio (2010), "Understanding the
    difficulty of training deep feedforward neural networks", section 4.2: gradients by the weights can hide an
    explosion. Both vanishing and exploding are products over the depth (Pascanu et al., 2013, "On the difficulty of
    training recurrent neural networks"), so the score falls in equal steps per decade between the largest and the
    smallest norm and is 0 at `LOST_DECADES`, where float32 loses the smaller one next to the larger. Also 0 if a norm
    is zero or not finite.

    It does not depend on the scale of the loss. Decay over time inside a recurrent module is invisible. None if
    fewer than two layers get a gradient, or the loss has none at all.
    """
    if len(norms) < 2 or not any(norms):
        return None
    if not all(0 < norm < math.inf for norm in norms):
        return 0.0
    decades = math.log10(max(norms)) - math.log10(min(norms))
    return max(0.0, 1.0 - decades / LOST_DECADES)


def training_stability(losses: Sequence[float]) -> float | None:
    """Share of the training loss's movement that went down: 1 for a loss that never rises, 0 for one that only rises.

    Falls over falls and rises together, from epoch to epoch, over the whole training: our own score for the loss
    spikes and divergence that Chowdhery et al. (2022), "PaLM", section 5.1, describe. A loss that swings forever
    approaches 1/2, and the small swings at the end of a good training hardly count against its descent. Neither scale
    nor offset of the loss matters. A loss that does not move is stable. Uses `train_loss`, otherwise `val_loss`. None
    before the third epoch.
    """
    if len(losses) < 3:
        return None
    steps = _steps(losses)
    moved = sum(map(abs, steps))
    return sum(-step for step in steps if step < 0) / moved if moved else 1.0


def convergence_quality(losses: Sequence[float]) -> float | None:
    """How much of its best descent the loss keeps: 1 if it has settled at its lowest value.

    The descent from the first epoch to the mean of the last three, over that to the lowest epoch. That is the
    generalization loss of Prechelt (1998), "Early stopping - but when?", which compares a loss with its lowest so far
    over a strip of epochs, brought to a scale on which neither scale nor offset of the loss matters. A loss that is
    still falling, swings, or has risen again is above its lowest value in the mean; one that never fell, or is back
    at its start, gets 0.

    Uses `val_loss`, otherwise `train_loss`. None before the fourth epoch.
    """
    if len(losses) <= LAST_EPOCHS:
        return None
    largest = max(map(abs, losses)) or 1.0
    first, *others = (loss / largest for loss in losses)
    descent = first - min(first, *others)
    if not descent:
        return 0.0
    return _within((first - sum(others[-LAST_EPOCHS:]) / LAST_EPOCHS) / descent)


def accuracy_consistency(values: Sequence[float]) -> float | None:
    """How little the main metric drops: 1 if it never does.

    Over the last five epochs, in parts of the range of all values so far, the worse of two: one minus twice the mean
    fall from one epoch to the next, and one minus the mean distance to the best value until then. The first tells a
    metric that jumps between two values, which gets 0 or little more, the second one that goes down steadily. Our own
    score. Neither scale nor offset matters, so it works for an accuracy and for a loss; a metric that does not move is
    consistent.

    Args:
        values: the main metric by epoch, turned so that larger is better.

    None before the fourth epoch.
    """
    if len(values) < 4:
        return None
    largest = max(map(abs, values)) or 1.0
    scaled = [value / largest for value in values]  # so that differences are finite
    scope = max(scaled) - min(scaled)
    if not scope:
        return 1.0
    falls = [max(0.0, -step) for step in _steps(values)[-LAST_STEPS:]]
    behind = [best - value for best, value in zip(itertools.accumulate(scaled, max), scaled, strict=True)][-LAST_STEPS:]
    return _within(1.0 - max(2.0 * sum(falls) / len(falls), sum(behind) / len(behind)) / scope)


def _values(history: Sequence[Mapping[str, float | None]], metric: str) -> list[float]:
    """The available values of a metric by epoch; empty if the task does not have it."""
    return [value for row in history if (value := row.get(metric)) is not None]


def _steps(values: Sequence[float]) -> list[float]:
    """Differences from epoch to epoch, in parts of the largest magnitude: otherwise they would not always be finite."""
    largest = max(map(abs, values)) or 1.0
    scaled = [value / largest for value in values]
    return [after - before for before, after in itertools.pairwise(scaled)]


def _within(score: float) -> float:
    return min(1.0, max(0.0, score))
