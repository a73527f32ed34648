"""What is told of one layer of a network: its shapes and sizes, and what was seen in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Shape = tuple[int, ...]
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Layer:
    """A module of a network that computes something itself: one without children, or with parameters of its own.

    Attributes:
        name: its path in the network, such as ``convolutions.0``; empty for the network itself.
        type: its class, such as ``Conv2d``.
        settings: what it was made with, as torch prints it.
        input_shapes: of the tensors that it is called with; the rows of the probe are the first axis where the network
            keeps them apart. Empty where it was not called, or the task has no probe.
        output_shape: of the tensor that it gives; of the first one where it gives several; None as above.
        parameter_shapes: its own parameters, those of its children left out.
        parameters: number of its own values.
        trainable: how many of them are trained.
    """

    name: str
    type: str
    settings: str
    input_shapes: tuple[Shape, ...]
    output_shape: Shape | None
    parameter_shapes: dict[str, Shape]
    parameters: int
    trainable: int


@dataclass(frozen=True)
class Histogram:
    """How values are spread: `counts` between neighbouring `edges`, one more than them."""

    counts: tuple[int, ...]
    edges: tuple[float, ...]


@dataclass(frozen=True)
class LayerStatistics:
    """What was seen in one layer that holds matrices.

    Attributes:
        name: its path in the network.
        weights: of its matrices, all values together.
        biases: of its vectors, the scales of normalisations among them; None where it has none.
        gradient: mean absolute gradient of the probe's loss by the values of its matrices; None without a probe.
        activations: mean and standard deviation of what it gives for the probe, and the part of zeros; None without.
        units, used: features it makes, and how many of them are used, as `health.neuron_utilisation` counts them; None
            for the output layer, and without a probe.
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
    """What was seen of one trial's network, with the weights of its checkpoint.

    Attributes:
        labels, answers: classes of the validation rows and what the model answers; empty for a task without classes.
        class_names: in words, by their numbers.
        images: (images, channels, height, width), the first of the probe; None where the network takes no images.
        maps: for each convolution by name, (images, up to some, height, width).
    """

    labels: tuple[int, ...] = ()
    answers: tuple[int, ...] = ()
    class_names: tuple[str, ...] = ()
    layers: tuple[LayerStatistics, ...] = ()
    images: Array | None = None
    maps: Mapping[str, Array] = field(default_factory=dict)
