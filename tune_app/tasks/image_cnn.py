"""The task `image_cnn`: classify images with a plain convolutional network. Any size and number of channels.

Read it top down: the settings (all variables), the network, the state of a training, and the task.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from tune_app.datasets.dataset import Dataset
from tune_app.spaces.variable import Categorical, Config, DatasetReference, Direction, Float, Int
from tune_app.tasks import load_dataset_of_kind, replica
from tune_app.tasks import shared_settings as shared
from tune_app.tasks.activations import ACTIVATIONS
from tune_app.tasks.augmentation import VIEW_OFFSETS, augment, views
from tune_app.tasks.classification import answers_of, selective_figures
from tune_app.tasks.normalization import METHODS, Normalize
from tune_app.tasks.optimization import (
    Optimization,
    autocast,
    count_batches,
)
from tune_app.tasks.settings import setting, variables_of
from tune_app.tasks.split import probe_rows, split_rows
from tune_app.tasks.step_graphs import StepGraphs
from tune_app.tasks.task import Progress
from tune_app.tasks.tensors import to_device

SMALLEST_POOLED = 4
"""A map is only halved while both its sides have at least this many pixels, so that none gets smaller than 2x2."""
PROGRESS_EVERY = 10
"""Batches between two calls of `progress`."""
EVALUATION_BATCH = 512


@dataclass(frozen=True)
class Settings:
    """Every variable of the task. The defaults reach 0.98 on the validation part of the digits in 15 epochs."""

    conv_layers: int = setting("architecture", Int(1, 6), 2, "Number of convolution layers.")
    filters: int = setting(
        "architecture",
        Int(1, 512, log=True),
        16,
        "Filters of the first convolution; doubled whenever pooling halves the map.",
    )
    kernel_size: int = setting(
        "architecture", Int(1, 7, step=2), 3, "Kernel size of the convolutions in pixels; the border is padded."
    )
    pooling: str = setting(
        "architecture",
        Categorical(("max", "average", "stride", "none")),
        "max",
        "How each convolution layer halves its map, as long as both sides have at least 4 pixels; stride: the "
        "convolution itself skips every second pixel.",
    )
    batch_norm: bool = setting(
        "architecture", Categorical((True, False)), True, "Whether batch normalization follows each convolution."
    )
    global_pooling: str = setting(
        "architecture",
        Categorical(("none", "average", "max")),
        "none",
        "How the last map becomes features: the average or maximum of each filter; none: every pixel is a feature.",
    )
    dense_layers: int = setting("architecture", Int(0, 4), 1, "Number of hidden dense layers before the output.")
    dense_width: int = setting(
        "architecture",
        Int(2, 2048, log=True),
        64,
        "Width of the first dense layer; each further layer is half as wide, but no narrower than the number of "
        "classes.",
        when="dense_layers > 0",
    )
    activation: str = setting(
        "architecture",
        Categorical(tuple(ACTIVATIONS)),
        "relu",
        "Activation function after each convolution and dense layer.",
    )
    dropout: float = setting(
        "architecture", Float(0.0, 0.9), 0.1, "Fraction of the features dropped before each dense layer and the output."
    )

    optimizer: str = shared.optimizer()
    learning_rate: float = shared.learning_rate(5e-3)
    momentum: float = shared.momentum()
    weight_decay: float = shared.weight_decay()
    batch_size: int = setting(
        "training",
        Int(1, 8192, log=True),
        128,
        "Maximum images per batch; batches of an epoch differ by at most one image.",
    )
    schedule: str = shared.schedule()
    warmup_epochs: float = shared.warmup_epochs(1.0)
    label_smoothing: float = shared.label_smoothing()
    gradient_clip: float = shared.gradient_clip(0.0)
    epochs: int = shared.epochs(15)
    precision: str = shared.precision()

    normalization: str = setting(
        "data",
        Categorical(METHODS),
        "standardize",
        "Scaling of the pixels: mean 0 and standard deviation 1 over the training images (standardize) or within "
        "each image (per_image), 0 to 1 (scale), or unchanged (none).",
    )
    shift: float = setting("data", Float(0.0, 0.5), 0.0, "Maximum random shift, as a fraction of each side; 0: off.")
    rotation: float = setting("data", Float(0.0, 180.0), 0.0, "Maximum random rotation in degrees; 0: off.")
    crop: float = setting(
        "data",
        Float(0.0, 0.9),
        0.0,
        "Maximum fraction of each side that a random crop removes; the rest is scaled back to the full image; 0: off.",
    )
    horizontal_flip: bool = setting(
        "data",
        Categorical((True, False)),
        False,
        "Whether to mirror half of the images at random; wrong for digits, letters and traffic signs.",
    )
    color_jitter: float = setting(
        "data",
        Float(0.0, 1.0),
        0.0,
        "Maximum relative change of brightness, contrast and, for color images, saturation; 0: off.",
    )
    noise: float = setting(
        "data",
        Float(0.0, 1.0),
        0.0,
        "Standard deviation of random noise, as a fraction of the largest pixel value; 0: off.",
    )
    cutout: float = setting(
        "data", Float(0.0, 1.0), 0.0, "Side of a random blank rectangle, as a fraction of each side; 0: off."
    )
    training_fraction: float = shared.training_fraction("images")
    validation_fraction: float = shared.validation_fraction("images")

    temperature: float = shared.temperature()
    confidence_threshold: float = setting(
        "inference",
        Float(0.0, 1.0),
        0.0,
        "The model abstains if the likeliest class is less probable than this; 0: it always answers.",
    )
    tta: int = setting(
        "inference",
        Int(1, len(VIEW_OFFSETS)),
        1,
        "Views averaged per image at inference: the image itself, then shifted by a pixel in each direction; 1: off.",
    )


class ImageCNN(nn.Module):
    """Convolutions, features, dense layers: raw images (batch, channels, height, width) to logits (batch, classes)."""

    def __init__(self, settings: Settings, *, channels: int, height: int, width: int, classes: int) -> None:
        super().__init__()
        activation = ACTIVATIONS[settings.activation]
        self.normalize = Normalize(settings.normalization, channels)

        layers: list[nn.Module] = []
        inputs, outputs, kernel = channels, settings.filters, settings.kernel_size
        for _ in range(settings.conv_layers):
            halve = settings.pooling != "none" and min(height, width) >= SMALLEST_POOLED
            stride = 2 if halve and settings.pooling == "stride" else 1
            layers.append(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=not settings.batch_norm))
            if settings.batch_norm:
                layers.append(replica.BatchNorm2d(outputs))
            inputs = outputs
            if halve:
                # A strided convolution rounds an odd side up, pooling rounds it down.
                height, width = (height + stride - 1) // 2, (width + stride - 1) // 2
                outputs *= 2
                if settings.pooling != "stride":
                    layers.append(nn.MaxPool2d(2) if settings.pooling == "max" else nn.AvgPool2d(2))
            # Pooling leaves a quarter of the values; with max pooling and a monotonic function the result is the same.
            layers.append(activation())
        if settings.global_pooling != "none":
            layers.append(nn.AdaptiveAvgPool2d(1) if settings.global_pooling == "average" else nn.AdaptiveMaxPool2d(1))
            height = width = 1
        # With the channels of a pixel side by side, pooling and batch normalization take half the time on a CPU.
        self.convolutions = nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

        hidden = [
            max(settings.dense_width >> layer, classes) if layer else settings.dense_width
            for layer in range(settings.dense_layers)
        ]
        layers = []
        for before, after in pairwise([inputs * height * width, *hidden, classes]):
            if settings.dropout > 0:
                layers.append(nn.Dropout(settings.dropout))
            layers += [nn.Linear(before, after), activation()]
        self.dense = nn.Sequential(*layers[:-1])

    def forward(self, images: Tensor) -> Tensor:
        """Raw images to logits."""
        features: Tensor = self.convolutions(self.normalize(images))
        logits: Tensor = self.dense(features.flatten(1))
        return logits


def build_model(config: Config, data: Dataset) -> ImageCNN:
    """The network of `config` for images like those of `data`, on the CPU; its normalization is fitted by `start`."""
    channels, height, width = data.train["images"].shape[1:]
    settings = Settings(**config)  # type: ignore[arg-type]  # a checked configuration has the types of its variables
    return ImageCNN(settings, channels=channels, height=height, width=width, classes=int(data.info["classes"]))


@dataclass
class Images:
    """Images with their labels on the device, with pixels as stored bytes, a quarter of the size of numbers."""

    pixels: Tensor
    labels: Tensor

    @classmethod
    def of(cls, arrays: Mapping[str, Any], device: torch.device) -> Images:
        """From the arrays ``images`` and ``labels`` of a data set."""
        return cls(to_device(arrays["images"], device), to_device(arrays["labels"], device, torch.int64))

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Images (batch, channels, height, width) as numbers, and labels (batch), for the rows `chosen`."""
        return self.pixels.index_select(0, chosen).to(torch.float32), self.labels.index_select(0, chosen)


@dataclass
class ImageState:
    """One training: the images stay on the device; on a CPU, all trials of a node share them.

    `network` is the model, or its wrapper for training on several devices; `graphs` has the captured steps.
    """

    settings: Settings
    model: ImageCNN
    network: nn.Module
    optimization: Optimization
    graphs: StepGraphs
    max_value: float
    images: Images
    training_rows: Tensor
    validation_rows: Tensor

    def state_dict(self) -> dict[str, Any]:
        """Model and optimizer, without the images."""
        return {"model": self.model.state_dict(), "optimization": self.optimization.state_dict()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        self.model.load_state_dict(saved["model"])
        self.optimization.load_state_dict(saved["optimization"])
        self.graphs.forget()


class ImageCNNTask:
    """Classification of images.

    Uses data sets of kind ``image``: ``images`` (count, channels, height, width) with pixels from 0 to
    ``info["max_value"]``, and ``labels`` (count) from 0 to ``info["classes"]`` - 1.

    Metrics: `train_loss` is the mean over the epoch, with label smoothing, while the weights changed. `val_loss` is
    the cross-entropy of the probabilities after temperature and test-time augmentation. `val_accuracy` counts every
    image; `val_coverage` is the share of images answered, and `val_selective_accuracy` the accuracy on those: 0
    if none is answered, so that a model that always abstains never wins.
    """

    data_kind: ClassVar[str] = "image"
    data_parallel: ClassVar[bool] = True
    variables = variables_of(Settings)
    constraints: ClassVar[tuple[str, ...]] = ()
    metrics: ClassVar[Mapping[str, Direction]] = {
        "val_accuracy": "maximize",
        "val_loss": "minimize",
        "train_loss": "minimize",
        "val_coverage": "maximize",
        "val_selective_accuracy": "maximize",
    }

    def load_data(self, dataset: DatasetReference) -> Dataset:
        """Load `dataset` by name; an `InputError` says if it is unknown or not of images."""
        return load_dataset_of_kind(dataset, self.data_kind)

    def start(self, config: Config, data: Dataset, *, epochs: int, seed: int, device: torch.device) -> ImageState:
        """Build the model and put the images on `device`.

        The validation part does not depend on `seed`: all trials of a sweep are compared on the same images.
        """
        settings = Settings(**config)  # type: ignore[arg-type]
        max_value = float(data.info["max_value"])
        images = Images.of(data.train, device)
        training, validation = split_rows(
            len(images),
            validation_fraction=settings.validation_fraction,
            training_fraction=settings.training_fraction,
            groups=data.train.get("groups"),
            labels=data.train["labels"],
        )
        training, validation = training.to(device), validation.to(device)
        model = build_model(config, data).to(device)
        model.normalize.fit((images.rows(chosen)[0] for chosen in torch.split(training, EVALUATION_BATCH)), max_value)
        batches = count_batches(len(training), settings.batch_size)
        return ImageState(
            settings=settings,
            model=model,
            network=replica.wrap(model),
            optimization=shared.optimization_of(settings, model.parameters(), epochs=epochs, batches=batches),
            graphs=StepGraphs(device),
            max_value=max_value,
            images=images,
            training_rows=training,
            validation_rows=validation,
        )

    def train_epoch(self, state: ImageState, epoch: int, progress: Progress) -> Mapping[str, float]:
        """Train on every image once, in random order, then validate."""
        settings, model, device = state.settings, state.model, state.images.labels.device
        batches = count_batches(len(state.training_rows), settings.batch_size)
        order = state.training_rows[torch.randperm(len(state.training_rows), device=device)]
        total = torch.zeros((), device=device)
        model.train()
        for number, chosen in enumerate(order.tensor_split(batches), start=1):
            state.optimization.advance()
            loss = state.graphs.run(partial(train_step, state, number), chosen)
            # Keep the sum on the device: reading it would make the host wait for every batch.
            total.add_(loss, alpha=len(chosen))
            if number % PROGRESS_EVERY == 0:
                progress(number / batches)
        total = replica.mean(total)
        if not replica.leads():
            return {}
        measured = measure(model, settings, state.images, state.validation_rows)
        return {"train_loss": total.item() / len(order), **{f"val_{name}": value for name, value in measured.items()}}

    def probe_loss(self, state: ImageState) -> Tensor:
        """The training loss on the first training images, which are a random sample."""
        images, labels = state.images.rows(state.training_rows[: probe_rows(len(state.training_rows))])
        with autocast(state.settings.precision, images.device):
            return functional.cross_entropy(state.model(images), labels, label_smoothing=state.settings.label_smoothing)

    def classify(self, state: ImageState) -> tuple[list[int], list[int]]:
        """Labels and predictions of the validation images."""
        answers = answers_of(predict(state.model, state.settings, state.images, state.validation_rows))
        return state.images.labels[state.validation_rows].tolist(), answers.tolist()

    def evaluate(self, state: ImageState, arrays: Mapping[str, Any]) -> Mapping[str, float]:
        """Loss, accuracy, coverage and selective accuracy on ``images`` and ``labels`` of `arrays`."""
        device = state.images.labels.device
        images = Images.of(arrays, device)
        return measure(state.model, state.settings, images, torch.arange(len(images), device=device))


def train_step(state: ImageState, number: int, rows: Tensor) -> Tensor:
    """Train on the images `rows` (batch), batch `number` of the epoch; returns the loss. `StepGraphs` may capture
    it."""
    settings = state.settings
    images, labels = state.images.rows(rows)
    images = augment(
        images,
        max_value=state.max_value,
        shift=settings.shift,
        rotation=settings.rotation,
        crop=settings.crop,
        horizontal_flip=settings.horizontal_flip,
        color_jitter=settings.color_jitter,
        noise=settings.noise,
        cutout=settings.cutout,
    )
    images, labels = replica.part_of(images), replica.part_of(labels)
    with replica.own_randomness(rows.device, number), autocast(settings.precision, rows.device):
        logits = state.network(images)
        loss = functional.cross_entropy(logits, labels, label_smoothing=settings.label_smoothing)
    loss = replica.weigh(loss, len(labels), len(rows))
    state.optimization.follow(loss)
    return loss.detach()


@torch.inference_mode()
def predict(model: nn.Module, settings: Settings, images: Images, rows: Tensor) -> Tensor:
    """Log-probabilities (rows, classes), after temperature, averaged as probabilities over the views."""
    model.eval()
    parts = []
    for chosen in torch.split(rows, EVALUATION_BATCH):
        batch, _ = images.rows(chosen)
        with autocast(settings.precision, batch.device):
            logits = torch.stack([model(view) for view in views(batch, settings.tta)]).float() / settings.temperature
        parts.append(torch.logsumexp(functional.log_softmax(logits, dim=-1), dim=0))
    return torch.cat(parts) - math.log(settings.tta)


def measure(model: nn.Module, settings: Settings, images: Images, rows: Tensor) -> dict[str, float]:
    """Loss, accuracy, coverage and selective accuracy over `rows`, as the task's docstring explains them."""
    log_probabilities = predict(model, settings, images, rows)
    return selective_figures(log_probabilities, images.labels[rows], settings.confidence_threshold)
