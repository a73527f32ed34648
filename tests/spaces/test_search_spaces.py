"""Every shipped search space can be read, and its smallest and largest configurations train on data of its shape."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tune_app.datasets.dataset import Dataset
from tune_app.datasets.registry import DATASETS
from tune_app.spaces.feasibility import largest, smallest
from tune_app.spaces.section import Budget, Objective, Pruning, Resources, Search
from tune_app.spaces.variable import GROUPS
from tune_app.tasks import load_task
from tune_app.tasks.spec_file import load_spec
from tune_app.training.trial import Training, prepared

FOLDER = Path(__file__).parents[2] / "search_spaces"
FILES = sorted(FOLDER.glob("*.yaml"))
IMAGES: Mapping[str, tuple[int, int, int, int]] = {
    "digits": (1, 8, 10, 16),
    "mnist": (1, 28, 10, 255),
    "fashion_mnist": (1, 28, 10, 255),
    "cifar10": (3, 32, 10, 255),
    "cifar100": (3, 32, 100, 255),
    "gtsrb": (3, 32, 43, 255),
}
"""Channels, side length, classes, and largest pixel value of each image data set."""
CLASSES = {"imdb": 2, "reuters": 52, "stdlib_docs": 10}


def made_up(name: str) -> Dataset:
    rng = np.random.default_rng(0)
    if name in IMAGES:
        channels, side, classes, top = IMAGES[name]
        images = rng.integers(0, top + 1, (24, channels, side, side), dtype=np.uint8)
        labels = rng.integers(0, classes, 24)
        return Dataset(name, "image", {"images": images, "labels": labels}, {}, {"classes": classes, "max_value": top})
    if name in CLASSES:
        texts = np.empty(24, dtype=object)
        texts[:] = [" ".join(rng.choice(["good", "bad", "film", "price"], 30)) for _ in range(24)]
        labels = rng.integers(0, CLASSES[name], 24)
        return Dataset(name, "labeled_text", {"texts": texts, "labels": labels}, {}, {"classes": CLASSES[name]})
    return Dataset(name, "text", {"text": rng.integers(32, 96, 600, dtype=np.uint32)}, {}, {})


def test_there_is_one_for_each_data_set() -> None:
    assert {load_spec(path).dataset for path in FILES} == set(DATASETS)
    assert {*IMAGES, *CLASSES} < set(DATASETS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_its_smallest_and_largest_configurations_train(path: Path) -> None:
    spec = load_spec(path)
    task = load_task(spec.task)
    assert isinstance(spec.dataset, str)
    data = made_up(spec.dataset)
    assert DATASETS[spec.dataset].kind == data.kind == task.data_kind
    for config in (smallest(spec.space), largest(spec.space)):
        small = {**config, **({"iterations": 1, "block_size": 16} if spec.task == "small_gpt" else {})}
        training = Training(task, small, prepared(task, small, data), epochs=spec.budget.epochs, seed=0, threads=1)
        row = training.run_epoch()
        assert row.metrics[spec.objective.metric] is not None


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_key_is_present_and_explained(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    for line in lines:
        key = line.strip().partition(":")[0]
        if line.startswith(" ") and not line.lstrip().startswith("#") and key not in GROUPS:
            assert "#" in line, f"explain `{line.strip()}`"
    text = "\n".join(lines)
    for section in (Objective, Budget, Search, Pruning, Resources):
        for name, field in section.model_fields.items():
            if name not in ("health_weight", "against"):
                assert f"  {name}:" in text, f"{name}: {field.description}"
    assert path.stem in text, "say how it is run"
    named: Any = load_spec(path).name
    assert named == path.stem.replace("_", "-")
