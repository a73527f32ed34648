"""A full training with a profile: every variable takes effect, and the results can be used."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from tune_app.datasets.dataset import Dataset
from tune_app.document import Document
from tune_app.errors import InputError, WorkFailed
from tune_app.folder import LocalFolder
from tune_app.profiles.profile import Profile
from tune_app.profiles.profile_document import read_document
from tune_app.profiles.train import Trained, study_threads, train
from tune_app.spaces.variable import Categorical, Config, Float, Int, Value
from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.tasks import load_task
from tune_app.tasks.catalogs import load_catalog
from tune_app.tasks.image_cnn import ImageCNNTask, ImageState
from tune_app.tasks.task import Progress
from tune_app.training.health import SCORES
from tune_app.training.trial import Training

# Every value differs from the variable's default, so that a default that slips in is noticed.
# fmt: off
CHANGED: dict[str, Value] = {
    "conv_layers": 1, "filters": 3, "kernel_size": 5, "pooling": "average", "batch_norm": False,
    "global_pooling": "average", "dense_layers": 2, "dense_width": 12, "activation": "gelu", "dropout": 0.2,
    "optimizer": "sgd", "learning_rate": 0.02, "momentum": 0.8, "weight_decay": 0.001, "batch_size": 300,
    "schedule": "linear", "warmup_epochs": 0.5, "label_smoothing": 0.1, "gradient_clip": 2.0, "epochs": 2,
    "precision": "bf16", "crop": 0.2, "horizontal_flip": True, "color_jitter": 0.1,
    "normalization": "scale", "shift": 0.1, "rotation": 5.0, "noise": 0.05, "cutout": 0.25,
    "training_fraction": 0.5, "validation_fraction": 0.3,
    "temperature": 1.5, "confidence_threshold": 0.2, "tta": 2,
}
# fmt: on


class Recording(ImageCNNTask):
    """The real task; it records the arguments of `start`, and fails where a test wants it to."""

    started: ClassVar[list[dict[str, Any]]] = []
    fails: ClassVar[str] = ""

    def start(self, config: Config, data: Dataset, *, epochs: int, seed: int, device: torch.device) -> ImageState:
        self.started.append({"config": dict(config), "epochs": epochs, "seed": seed})
        if self.fails == "start":
            raise KeyError("no such layer")
        return super().start(config, data, epochs=epochs, seed=seed, device=device)

    def train_epoch(self, state: ImageState, epoch: int, progress: Progress) -> Mapping[str, float]:
        metrics = super().train_epoch(state, epoch, progress)
        return {**metrics, "val_loss": math.nan} if self.fails == "nan" else metrics

    def evaluate(self, state: ImageState, arrays: Mapping[str, Any]) -> Mapping[str, float]:
        if self.fails == "evaluate":
            raise RuntimeError("no test part today")
        return {"loss": math.nan} if self.fails == "test nan" else super().evaluate(state, arrays)


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    threads = torch.get_num_threads()
    Recording.started.clear()
    Recording.fails = ""
    yield
    Recording.fails = ""
    torch.set_num_threads(threads)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def profile(task: str = f"{__name__}:Recording", **values: Value) -> Profile:
    return Profile("small", load_catalog(task), "digits", {**CHANGED, **values}).validated()


def record_of(trained: Trained) -> dict[str, Any]:
    return dict(json.loads(Path(trained.folder, "metrics.json").read_text()))


def test_every_variable_reaches_the_training(store: Store) -> None:
    variables = load_task("image_cnn").variables
    assert {v.name for v in variables if CHANGED[v.name] == v.default} == set(), "each differs from its default"
    assert set(CHANGED) == {v.name for v in variables}
    mine = profile()
    trained = train(mine, store, epochs=2, seed=5, threads=1)
    assert Recording.started == [{"config": CHANGED, "epochs": 2, "seed": 5}]
    assert trained.config == record_of(trained)["config"] == CHANGED
    checkpoint = torch.load(Path(trained.folder, "checkpoint.pt"), weights_only=True)
    assert checkpoint["config"] == CHANGED
    assert read_document(Document.read(Path(trained.folder, "profile.yaml")), load_catalog).config == CHANGED


def test_every_variable_in_turn(store: Store) -> None:
    """Change one variable at a time from the defaults, through a real `start`."""
    task = load_task("image_cnn")
    data = task.load_data("digits").head(64)
    defaults = {v.name: v.default for v in task.variables}
    for variable in task.variables:
        domain = variable.domain
        if isinstance(domain, Categorical):
            value: Value = next(c for c in domain.choices if c != variable.default)
        else:
            assert isinstance(domain, (Int, Float))
            value = CHANGED[variable.name]
        training = Training(task, {**defaults, variable.name: value}, data, epochs=1, seed=0)
        assert isinstance(training.state, ImageState)
        assert getattr(training.state.settings, variable.name) == value


def test_what_a_training_leaves_behind(store: Store, tmp_path: Path) -> None:
    seen: list[int] = []
    trained = train(profile(), store, epochs=2, seed=5, threads=1, on_epoch=lambda row: seen.append(row.epoch))
    assert seen == [1, 2]
    folder = Path(trained.folder)
    assert folder.parent == tmp_path / "trainings"
    assert re.fullmatch(r"small-\d{4}-\d\d-\d\dT\d{6}\.\d{6}", folder.name)
    assert sorted(p.name for p in folder.iterdir()) == ["checkpoint.pt", "live.json", "metrics.json", "profile.yaml"]
    record = record_of(trained)
    assert record["metrics"] == trained.metrics
    assert set(trained.metrics) == {
        *ImageCNNTask.metrics,
        *(f"health/{name}" for name in SCORES),
        *(f"test_{name}" for name in ("loss", "accuracy", "coverage", "selective_accuracy")),
    }
    assert [row["epoch"] for row in record["history"]] == [1, 2]
    assert record["history"][-1]["val_loss"] == trained.metrics["val_loss"]
    assert record["history"][-1]["health/overall"] == trained.metrics["health/overall"]
    assert record["latency_ms"] > 0
    assert record["sample"] is None, "this task writes no sample"
    assert (record["seed"], record["epochs"], record["threads"], record["dataset"]) == (5, 2, 1, "digits")
    assert record["dataset_sha256"] == load_task("image_cnn").load_data("digits").sha256()


def test_the_checkpoint_restores_the_model(store: Store) -> None:
    trained = train(profile(), store, epochs=2, seed=5, threads=1)
    task = load_task(f"{__name__}:Recording")
    data = task.load_data("digits")
    training = Training(task, trained.config, data, epochs=2, seed=5, threads=1)
    training.restore(Path(trained.folder, "checkpoint.pt"))
    measured = task.evaluate(training.state, data.test)
    assert {f"test_{name}": value for name, value in measured.items()}.items() <= trained.metrics.items()


def test_the_same_profile_and_seed_give_identical_metrics(store: Store) -> None:
    one, two = (train(profile(), store, epochs=2, seed=5, threads=1).metrics for _ in range(2))
    assert one == two
    assert train(profile(), store, epochs=2, seed=6, threads=1).metrics != one


@pytest.mark.parametrize(
    ("fails", "part"),
    [
        ("start", "the training failed: KeyError: 'no such layer' ("),
        ("nan", "`val_loss` is nan in epoch 1"),
    ],
)
def test_a_training_that_fails(fails: str, part: str, store: Store, tmp_path: Path) -> None:
    Recording.fails = fails
    with pytest.raises(WorkFailed) as caught:
        train(profile(), store, epochs=2, seed=5, threads=1)
    assert part in caught.value.message
    assert len(str(caught.value).splitlines()) <= 2
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [], "no partial file must be left"


def test_a_trained_model_is_kept_if_measuring_it_fails(store: Store, tmp_path: Path) -> None:
    Recording.fails = "evaluate"
    with pytest.raises(
        WorkFailed, match="trained and saved, but measuring it failed: RuntimeError: no test part"
    ) as caught:
        train(profile(), store, epochs=1, seed=5, name="kept", threads=1)
    assert len(str(caught.value).splitlines()) == 2
    checkpoint = tmp_path / "trainings" / "kept" / "checkpoint.pt"
    assert str(checkpoint) in caught.value.hint
    assert torch.load(checkpoint, weights_only=True)["config"] == CHANGED
    figures = json.loads(checkpoint.with_name("metrics.json").read_text())["metrics"]
    assert "val_accuracy" in figures
    assert not any(name.startswith("test_") for name in figures)


def test_a_test_metric_that_is_not_a_number_is_null_in_the_file(store: Store) -> None:
    Recording.fails = "test nan"
    trained = train(profile(), store, epochs=1, seed=5, threads=1)
    assert math.isnan(trained.metrics["test_loss"])
    assert record_of(trained)["metrics"]["test_loss"] is None


def test_a_training_is_saved_to_an_object_store(store: Store) -> None:
    remote = Store("mock:///bucket")
    trained = train(profile(), remote, epochs=1, seed=5, threads=1)
    name = trained.folder.removeprefix("mock:///bucket/")
    assert remote.folder.names(name) == ["checkpoint.pt", "live.json", "metrics.json", "profile.yaml"]
    local = train(profile(), store, epochs=1, seed=5, threads=1)
    assert trained.metrics == local.metrics


def test_what_cannot_be_trained(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be the name of a data set"):
        train(Profile("a", load_catalog("image_cnn"), "digit", dict(CHANGED)), store, epochs=1, seed=0)
    (tmp_path / "trainings").write_text("in the way")
    with pytest.raises(WorkFailed, match=r"cannot write .*trainings"):
        train(profile(), store, epochs=1, seed=0, threads=1)


@pytest.mark.parametrize(("cpus", "threads"), [(1, 1), (4, 4), (0.5, 1)])
def test_threads_of_a_study(cpus: float, threads: int, tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    folder.write("studies/a/spec.yaml", f"resources: {{cpus: {cpus}}}".encode())
    assert study_threads(Study(folder, "a")) == threads
