"""Statistics of the layers of a trained network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Histogram:
    """A histogram: `counts` between neighboring `edges`, of which there is one more."""

    counts: tuple[int, ...]
    edges: tuple[float, ...]


@dataclass(frozen=True)
class LayerStatistics:
    """Statistics of one layer with matrices.

    Attributes:
        name: its path in the network.
        weights: of its matrices, all values together.
        biases: of its vectors, the scales of normalizations among them; None if it has none.
        gradient: mean absolute gradient of the probe's loss by the values of its matrices; None without a probe.
        activations: mean and standard deviation of its output for the probe, and the fraction of zeros; None without a
            probe.
        units, used: its features, and how many of them are used, as `health.neuron_utilization` counts them; None for
            the output layer, and without a probe.
    """

    name: str
    weights: Histogram
    biases: Histogram | None
    gradient: float | None
    activations: tuple[float, float, float] | None
    units: int | None = None
    used: int | None = None


@dataclass(frozen=True)
class Inspection:
    """The inspection of one trial's network, with the weights of its checkpoint.

    Attributes:
        labels, answers: classes of the validation rows and the model's predictions; empty for a task without classes.
        class_names: in words, by their numbers.
        images: (images, channels, height, width), the first of the probe; None if the network takes no images.
        maps: for each convolution by name, (images, up to some, height, width).
    """

    labels: tuple[int, ...] = ()
    answers: tuple[int, ...] = ()
    class_names: tuple[str, ...] = ()
    layers: tuple[LayerStatistics, ...] = ()
    images: Array | None = None
    maps: Mapping[str, Array] = field(default_factory=dict)
