"""Every variable of `image_cnn` has the effect it describes, and the task trains reproducibly and well."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tune_app.datasets import load_dataset
from tune_app.datasets.dataset import Dataset
from tune_app.errors import InputError
from tune_app.spaces.expression import Expression
from tune_app.spaces.variable import GROUPS, Categorical, Config, Value, Variable
from tune_app.tasks.augmentation import augment, cut_out, flip, jitter, move, views
from tune_app.tasks.image_cnn import ImageCNN, ImageCNNTask, ImageState, build_model, predict
from tune_app.tasks.optimization import learning_rate_factor
from tune_app.training.trial import Training

TASK = ImageCNNTask()
VARIABLES = {v.name: v for v in TASK.variables}
DIGITS = load_dataset("digits").without_test()
FEW = DIGITS.head(200)

EFFECTS: dict[str, Callable[[], None]] = {}


def effect(test: Callable[[], None]) -> Callable[[], None]:
    """Register the test of the variable that the function is named after."""
    EFFECTS[test.__name__] = test
    return test


@pytest.mark.parametrize("name", VARIABLES)
def test_variable_has_its_effect(name: str) -> None:
    assert name in EFFECTS, f"write a test of what `{name}` does: a function of that name under @effect"
    EFFECTS[name]()


def config(**changes: Value) -> Config:
    return {**{name: v.default for name, v in VARIABLES.items()}, **changes}


def network(data: Dataset = FEW, **changes: Value) -> ImageCNN:
    torch.manual_seed(0)
    return build_model(config(**changes), data).eval()


def of_type(model: nn.Module, kind: type[Any]) -> list[Any]:
    return [m for m in model.modules() if isinstance(m, kind)]


def trained(run: int = 1, seed: int = 0, **changes: Value) -> tuple[ImageState, dict[str, float]]:
    """A small network after some epochs, with the variables in `changes`."""
    small: dict[str, Value] = {"filters": 4, "dense_width": 8, "batch_size": 32, **changes}
    training = Training(TASK, config(**small), FEW, epochs=int(small.get("epochs", 15)), seed=seed)
    for _ in range(run):
        row = training.run_epoch()
    assert isinstance(training.state, ImageState)
    return training.state, row.metrics


def weights(state: ImageState) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in state.model.parameters()])


def before_training(**changes: Value) -> Tensor:
    training = Training(TASK, config(**{"filters": 4, "dense_width": 8, **changes}), FEW, epochs=1, seed=0)
    assert isinstance(training.state, ImageState)
    return weights(training.state)


def logits(model: nn.Module, count: int = 20) -> Tensor:
    with torch.no_grad():
        result: Tensor = model(torch.as_tensor(FEW.train["images"][:count]).float())
    return result


def assert_all_differ(tensors: list[Tensor]) -> None:
    for one, other in itertools.combinations(tensors, 2):
        assert not torch.allclose(one, other)


# Architecture


@effect
def conv_layers() -> None:
    for count in (1, 2, 6):
        assert len(of_type(network(conv_layers=count), nn.Conv2d)) == count


@effect
def filters() -> None:
    assert [c.out_channels for c in of_type(network(filters=5, conv_layers=4), nn.Conv2d)] == [5, 10, 20, 20]
    assert [c.out_channels for c in of_type(network(filters=5, pooling="none"), nn.Conv2d)] == [5, 5]


@effect
def kernel_size() -> None:
    for side in (1, 3, 5, 7):
        model = network(kernel_size=side)
        assert {c.kernel_size for c in of_type(model, nn.Conv2d)} == {(side, side)}
        assert of_type(model, nn.Linear)[0].in_features == 32 * 2 * 2  # padding preserves the size


@effect
def pooling() -> None:
    features = {p: of_type(network(pooling=p), nn.Linear)[0].in_features for p in VARIABLES["pooling"].domain.choices}  # type: ignore[union-attr]
    assert features == {"max": 32 * 4, "average": 32 * 4, "stride": 32 * 4, "none": 16 * 64}
    assert_all_differ([logits(network(pooling=p)) for p in ("max", "average", "stride")])
    assert of_type(network(conv_layers=6), nn.Linear)[0].in_features == 64 * 2 * 2  # a feature map is at least 2x2


@effect
def batch_norm() -> None:
    assert len(of_type(network(batch_norm=True), nn.BatchNorm2d)) == 2
    assert len(of_type(network(batch_norm=False), nn.BatchNorm2d)) == 0


@effect
def global_pooling() -> None:
    inputs = {g: of_type(network(global_pooling=g), nn.Linear)[0].in_features for g in ("none", "average", "max")}
    assert inputs == {"none": 128, "average": 32, "max": 32}
    assert_all_differ([logits(network(global_pooling=g)) for g in ("average", "max")])


@effect
def dense_layers() -> None:
    for count in (0, 1, 4):
        assert len(of_type(network(dense_layers=count), nn.Linear)) == count + 1


@effect
def dense_width() -> None:
    widths = [layer.out_features for layer in of_type(network(dense_width=48, dense_layers=4), nn.Linear)]
    assert widths == [48, 24, 12, 10, 10]
    assert of_type(network(dense_width=4), nn.Linear)[0].out_features == 4


@effect
def activation() -> None:
    domain = VARIABLES["activation"].domain
    assert isinstance(domain, Categorical)
    assert domain.choices == ("relu", "leaky_relu", "silu", "gelu", "tanh")
    assert_all_differ([logits(network(activation=name)) for name in domain.choices])


@effect
def dropout() -> None:
    model, none = network(dropout=0.4, dense_layers=2), network(dropout=0.0, dense_layers=2)
    assert [d.p for d in of_type(model, nn.Dropout)] == [0.4] * 3
    assert not of_type(none, nn.Dropout)
    assert torch.equal(logits(model), logits(none))  # disabled at inference
    assert not torch.equal(weights(trained(dropout=0.4)[0]), weights(trained(dropout=0.0)[0]))


# Training


@effect
def optimizer() -> None:
    states = {name: trained(optimizer=name)[0] for name in ("sgd", "adam", "adamw", "rmsprop")}
    assert [type(s.optimization.optimizer).__name__ for s in states.values()] == ["SGD", "Adam", "AdamW", "RMSprop"]
    assert_all_differ([weights(s) for s in states.values()])


ONE_STEP: dict[str, Value] = {
    "optimizer": "sgd",
    "momentum": 0.0,
    "weight_decay": 0.0,
    "schedule": "constant",
    "warmup_epochs": 0.0,
    "batch_size": 8192,
    "dropout": 0.0,
}


def one_step(**changes: Value) -> Tensor:
    """How far plain gradient descent moves the weights in one batch."""
    return weights(trained(**{**ONE_STEP, **changes})[0]) - before_training(**{**ONE_STEP, **changes})


@effect
def learning_rate() -> None:
    torch.testing.assert_close(one_step(learning_rate=1.0), 10 * one_step(learning_rate=0.1), rtol=1e-3, atol=1e-5)


@effect
def momentum() -> None:
    for name in ("sgd", "rmsprop"):
        assert_all_differ([weights(trained(optimizer=name, momentum=m)[0]) for m in (0.0, 0.5, 0.9)])


@effect
def weight_decay() -> None:
    plain = one_step(learning_rate=0.1)
    decayed = one_step(learning_rate=0.1, weight_decay=0.5)
    torch.testing.assert_close(decayed - plain, -0.1 * 0.5 * before_training(**ONE_STEP), rtol=1e-3, atol=1e-6)
    for name in ("adam", "adamw", "rmsprop"):
        assert_all_differ([weights(trained(optimizer=name, weight_decay=w)[0]) for w in (0.0, 0.5)])


@effect
def batch_size() -> None:
    assert [trained(batch_size=size)[0].optimization.steps for size in (8192, 80, 79, 8)] == [
        1,
        2,
        3,
        20,
    ]  # of 160 images


@effect
def schedule() -> None:
    factors = {
        "constant": [1.0, 1.0, 1.0, 1.0],
        "linear": [1.0, 0.75, 0.5, 0.25],
        "step": [1.0, 1.0, 0.1, 0.01],
        "cosine": [1.0, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125)],
    }
    domain = VARIABLES["schedule"].domain
    assert isinstance(domain, Categorical)
    assert set(domain.choices) == set(factors)
    for name, expected in factors.items():
        assert [learning_rate_factor(name, step, 4, 0) for step in range(4)] == pytest.approx(expected)
    assert_all_differ([weights(trained(run=4, epochs=4, schedule=name)[0]) for name in factors])


@effect
def warmup_epochs() -> None:
    assert [learning_rate_factor("constant", s, 9, 3) for s in range(5)] == pytest.approx([0.25, 0.5, 0.75, 1, 1])
    assert learning_rate_factor("linear", 6, 9, 3) == pytest.approx(0.5)  # the schedule uses the steps after warm-up
    state, _ = trained(warmup_epochs=2.0)
    assert state.optimization.optimizer.param_groups[0]["lr"] == pytest.approx(state.settings.learning_rate * 5 / 11)


@effect
def label_smoothing() -> None:
    model = Training(TASK, config(**ONE_STEP), FEW, epochs=1, seed=0).state
    assert isinstance(model, ImageState)
    images, labels = model.images.rows(model.training_rows)
    log_probabilities = functional.log_softmax(model.model(images), dim=1).detach()
    likely, spread = functional.nll_loss(log_probabilities, labels), -log_probabilities.mean()
    for smoothing in (0.0, 0.3):
        row = Training(TASK, config(**ONE_STEP, label_smoothing=smoothing), FEW, epochs=1, seed=0).run_epoch()
        assert row.metrics["train_loss"] == pytest.approx(float((1 - smoothing) * likely + smoothing * spread))


@effect
def gradient_clip() -> None:
    free, clipped = one_step(learning_rate=1.0), one_step(learning_rate=1.0, gradient_clip=0.01)
    assert free.norm() > 0.1
    assert clipped.norm() == pytest.approx(0.01, rel=1e-2)


@effect
def epochs() -> None:
    short, long = (trained(run=2, epochs=count)[0] for count in (3, 30))
    assert (short.optimization.total_steps, long.optimization.total_steps) == (3 * 5, 30 * 5)
    # After the same number of epochs, a longer schedule has decayed less.
    assert short.optimization.optimizer.param_groups[0]["lr"] < long.optimization.optimizer.param_groups[0]["lr"]


@effect
def precision() -> None:
    full, half = trained(precision="fp32"), trained(precision="bf16")
    assert full[1]["val_loss"] != half[1]["val_loss"]
    assert half[1]["val_loss"] == pytest.approx(full[1]["val_loss"], rel=0.05)
    assert all(p.dtype == torch.float32 for p in half[0].model.parameters())


# Data


@effect
def normalization() -> None:
    images = torch.as_tensor(FEW.train["images"]).float()
    seen: dict[str, Tensor] = {}
    for method in ("standardize", "scale", "per_image", "none"):
        state, _ = trained(normalization=method)
        seen[method] = state.model.normalize(images)
    training = trained()[0]
    standardized = training.model.normalize(training.images.rows(training.training_rows)[0])
    assert abs(standardized.mean()) < 1e-5
    assert standardized.std() == pytest.approx(1, abs=1e-3)
    assert seen["scale"].max() == 1
    assert seen["scale"].min() == 0
    assert seen["per_image"].mean(dim=(1, 2, 3)).abs().max() < 1e-5
    assert seen["per_image"].std(dim=(1, 2, 3), correction=0).numpy() == pytest.approx(1, abs=1e-3)
    assert torch.equal(seen["none"], images)


def dot(height: int = 9, width: int = 9) -> Tensor:
    """Images with one bright pixel, right of the center."""
    images = torch.zeros(64, 1, height, width)
    images[:, :, height // 2, width // 2 + 2] = 1
    return images


def positions(images: Tensor) -> tuple[Tensor, Tensor]:
    """Center of mass of each image in pixels from the middle: down and right."""
    height, width = images.shape[-2:]
    mass = images.sum(dim=(1, 2, 3))
    rows = torch.arange(height) - (height - 1) / 2
    columns = torch.arange(width) - (width - 1) / 2
    return (images.sum(dim=(1, 3)) @ rows) / mass, (images.sum(dim=(1, 2)) @ columns) / mass


@effect
def shift() -> None:
    torch.manual_seed(0)
    down, right = positions(move(dot(), shift=0.2, rotation=0))
    assert 1.3 < down.abs().max() <= 1.81  # a fifth of 9 pixels
    assert 1.3 < (right - 2).abs().max() <= 1.81
    assert not torch.equal(weights(trained(shift=0.2)[0]), weights(trained()[0]))


@effect
def rotation() -> None:
    for height, width in ((9, 9), (9, 19)):  # a rotation keeps the distance to the center, even in a wide image
        torch.manual_seed(0)
        down, right = positions(move(dot(height, width), shift=0, rotation=30))
        angle = torch.rad2deg(torch.atan2(down, right)).abs()
        assert 25 < angle.max() < 33
        assert torch.hypot(down, right).numpy() == pytest.approx(2, abs=0.25)
    assert not torch.equal(weights(trained(rotation=30.0)[0]), weights(trained()[0]))


@effect
def crop() -> None:
    torch.manual_seed(0)
    ramp = torch.linspace(-1, 1, 9).expand(200, 1, 9, 9).contiguous()
    seen = move(ramp, shift=0, rotation=0, crop=0.5)
    width = (seen.amax(dim=(1, 2, 3)) - seen.amin(dim=(1, 2, 3))) / 2
    assert 0.43 < width.min() < 0.55  # at the border, half a pixel from outside may leak in
    assert 0.95 < width.max() < 1.001
    assert (seen == 0).float().mean() < 0.05  # nothing else from outside leaks in
    assert not torch.equal(weights(trained(crop=0.5)[0]), weights(trained()[0]))


@effect
def horizontal_flip() -> None:
    torch.manual_seed(0)
    _, right = positions(flip(dot()))
    assert set(right.tolist()) == {-2.0, 2.0}
    assert 20 < (right < 0).sum() < 44
    assert not torch.equal(weights(trained(horizontal_flip=True)[0]), weights(trained()[0]))


@effect
def color_jitter() -> None:
    torch.manual_seed(0)
    images = torch.rand(400, 3, 8, 8) * 100
    changed = jitter(images, 0.3, 255.0)
    ratio = changed.mean(dim=(1, 2, 3)) / images.mean(dim=(1, 2, 3))
    assert 0.69 < ratio.min() < 0.75  # brightness
    assert 1.25 < ratio.max() < 1.33  # a clamped contrast adds a little
    spread = changed.std(dim=(1, 2, 3)) / images.std(dim=(1, 2, 3)) / ratio
    assert spread.min() < 0.8  # contrast and saturation
    assert spread.max() > 1.2
    assert jitter(images, 1.0, 100.0).max() <= 100
    gray = torch.rand(4, 1, 8, 8)
    assert jitter(gray, 0.5, 1.0).shape == gray.shape
    assert not torch.equal(weights(trained(color_jitter=0.5)[0]), weights(trained()[0]))


@effect
def noise() -> None:
    images = torch.zeros(64, 1, 8, 8)
    noisy = augment(images, max_value=30.0, noise=0.1)
    assert noisy.std() == pytest.approx(3, rel=0.05)
    assert not torch.equal(weights(trained(noise=0.1)[0]), weights(trained()[0]))


@effect
def cutout() -> None:
    cut = cut_out(torch.ones(500, 2, 8, 8), size=0.5)
    blank = (cut == 0).sum(dim=(2, 3))
    assert torch.equal(blank[:, 0], blank[:, 1])  # all channels
    assert blank.max() == 16  # half of each side, or less if it crosses the border
    assert blank.min() >= 4
    assert not torch.equal(weights(trained(cutout=0.4)[0]), weights(trained()[0]))


@effect
def training_fraction() -> None:
    full, part = trained()[0], trained(training_fraction=0.25)[0]
    assert (len(full.training_rows), len(part.training_rows)) == (160, 40)
    assert torch.equal(part.training_rows, full.training_rows[:40])
    assert torch.equal(part.validation_rows, full.validation_rows)


@effect
def validation_fraction() -> None:
    small, large = trained(seed=1, validation_fraction=0.1)[0], trained(seed=2, validation_fraction=0.5)[0]
    assert (len(small.validation_rows), len(large.validation_rows)) == (20, 100)
    assert torch.equal(small.validation_rows, large.validation_rows[:20])  # for any seed
    everything = torch.cat([large.training_rows, large.validation_rows])
    assert torch.equal(everything.sort().values, torch.arange(len(FEW.train["images"])))


# Inference


@effect
def temperature() -> None:
    (cold, one), (hot, other) = trained(temperature=1.0), trained(temperature=5.0)
    assert torch.equal(weights(cold), weights(hot))
    raw = cold.model(cold.images.rows(cold.validation_rows)[0]).detach()
    torch.testing.assert_close(
        predict(hot.model, hot.settings, hot.images, hot.validation_rows), functional.log_softmax(raw / 5, dim=1)
    )
    assert one["val_accuracy"] == other["val_accuracy"]
    assert one["val_loss"] != other["val_loss"]


@effect
def confidence_threshold() -> None:
    sure, unsure, never = (trained(run=10, filters=16, confidence_threshold=t)[1] for t in (0.0, 0.5, 1.0))
    assert sure["val_coverage"] == 1
    assert sure["val_selective_accuracy"] == sure["val_accuracy"]
    assert 0 < unsure["val_coverage"] < 1
    assert unsure["val_selective_accuracy"] > unsure["val_accuracy"] == sure["val_accuracy"]
    assert (never["val_coverage"], never["val_selective_accuracy"]) == (0, 0)


@effect
def tta() -> None:
    state, metrics = trained(run=3, tta=5)
    images, _ = state.images.rows(state.validation_rows)
    moved = views(images, 5)
    assert len(moved) == 5
    assert torch.equal(moved[0], images)
    assert torch.equal(moved[1][..., 1:], images[..., :-1])
    averaged = torch.stack([functional.softmax(state.model(v), dim=1) for v in moved]).mean(dim=0).detach()
    found = predict(state.model, state.settings, state.images, state.validation_rows)
    torch.testing.assert_close(found, averaged.log())
    assert metrics["val_loss"] != trained(run=3, tta=1)[1]["val_loss"]


# Conditions


def _cases(variable: Variable, truth: bool) -> list[Config]:
    """Values for the names in the variable's `when` that make it `truth`."""
    assert variable.when is not None
    condition = Expression.parse(variable.when)
    names = sorted(condition.names)
    domains = [VARIABLES[n].domain for n in names]
    values = [d.choices if isinstance(d, Categorical) else (d.low, d.high) for d in domains]
    cases = [dict(zip(names, drawn, strict=True)) for drawn in itertools.product(*values)]
    found = [case for case in cases if bool(condition(config(**case))) is truth]
    assert found
    return found


@pytest.mark.parametrize("name", [v.name for v in TASK.variables if v.when])
def test_when_conditions_are_correct(name: str) -> None:
    domain = VARIABLES[name].domain
    assert not isinstance(domain, Categorical)
    values = (domain.low, min(domain.high, 9))
    for case in _cases(VARIABLES[name], truth=False):
        (one, figures), (other, same) = (trained(**{**case, name: value}) for value in values)
        assert torch.equal(weights(one), weights(other))
        assert figures == same
    for case in _cases(VARIABLES[name], truth=True):
        one, other = (trained(**{**case, name: value})[0] for value in values)
        assert weights(one).shape != weights(other).shape or not torch.equal(weights(one), weights(other))


# The task as a whole


def test_catalog_is_complete() -> None:
    assert {v.group for v in TASK.variables} == set(GROUPS)
    assert len(VARIABLES) == len(TASK.variables) == 34
    for variable in TASK.variables:
        assert variable.description.endswith(".")
        assert variable.description[0].isupper()
    assert set(EFFECTS) == set(VARIABLES)


def test_the_defaults_reach_the_expected_accuracy() -> None:
    training = Training(TASK, config(), DIGITS, epochs=15, seed=0)
    while not training.finished:
        row = training.run_epoch()
    assert row.metrics["val_accuracy"] >= 0.97
    test = load_dataset("digits").test
    figures = TASK.evaluate(training.state, test)  # type: ignore[arg-type]
    assert set(figures) == {"loss", "accuracy", "coverage", "selective_accuracy"}
    assert figures["accuracy"] >= 0.95


def test_same_seed_same_figures() -> None:
    shaken: dict[str, Value] = {"shift": 0.1, "noise": 0.1, "cutout": 0.2, "rotation": 5.0}
    first, second, other = (trained(run=2, seed=seed, **shaken)[1] for seed in (1, 1, 2))
    assert first == second
    assert set(first) == set(TASK.metrics)
    assert first["train_loss"] != other["train_loss"]


def test_trials_share_the_images_and_leave_them_unchanged() -> None:
    images = FEW.train["images"].copy()
    images.flags.writeable = False  # like arrays from Ray's object store
    data = dataclasses.replace(FEW, train={**FEW.train, "images": images})
    shaken: Config = {"shift": 0.1, "color_jitter": 0.5, "noise": 0.1, "cutout": 0.2, "horizontal_flip": True}
    training = Training(TASK, config(filters=4, **shaken), data, epochs=1, seed=0)
    training.run_epoch()
    assert isinstance(training.state, ImageState)
    assert training.state.images.pixels.data_ptr() == images.ctypes.data
    assert np.array_equal(images, FEW.train["images"])


def test_images_are_standardized_by_exact_sums_over_the_training_set() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (1500, 3, 5, 4), dtype=np.uint8)
    images[:, 2] = 7  # a channel that does not vary
    train = {"images": images, "labels": rng.integers(0, 3, len(images))}
    data = Dataset("random", "image", train, {}, {"classes": 3, "max_value": 255})
    state = TASK.start(config(), data, epochs=1, seed=0, device=torch.device("cpu"))
    seen = images[state.training_rows.numpy()].astype(np.float64)
    deviations = seen.std(axis=(0, 2, 3))
    assert (1 / state.model.normalize.scale[:2].flatten()).numpy() == pytest.approx(deviations[:2], rel=1e-6)
    normalized = state.model.normalize(torch.as_tensor(seen, dtype=torch.float32))
    assert normalized.mean(dim=(0, 2, 3)).numpy() == pytest.approx(0, abs=1e-3)


def test_progress_is_reported_every_ten_batches() -> None:
    told: list[float] = []
    training = Training(TASK, config(batch_size=4), FEW, epochs=1, seed=0)
    training.run_epoch(told.append)
    assert told == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("pooling", ["max", "average", "stride", "none"])
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 9, 7), (2, 31, 33), (1, 1, 1), (1, 3, 40)])
def test_any_size_trains(shape: tuple[int, int, int], pooling: str) -> None:
    rng = np.random.default_rng(0)
    data = Dataset(
        name="random",
        kind="image",
        train={
            "images": rng.integers(0, 256, (11, *shape), dtype=np.uint8),
            "labels": rng.integers(0, 3, 11),
        },
        test={},
        info={"classes": 3, "max_value": 255},
    )
    changes: Config = {"conv_layers": 6, "filters": 2, "kernel_size": 5, "tta": 9, "shift": 0.1, "cutout": 0.1}
    changes |= {"batch_size": 8, "pooling": pooling}  # 9 images in batches of 8: no batch of one is left over
    training = Training(TASK, config(**changes), data, epochs=1, seed=0)
    assert training.run_epoch().metrics["val_coverage"] == 1


def test_too_few_images() -> None:
    with pytest.raises(InputError, match="at least 3 rows"):
        Training(TASK, config(), FEW.head(2), epochs=1, seed=0)
