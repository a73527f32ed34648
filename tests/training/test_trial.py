"""A single training: seeds, exact continuation, failures by kind, and measurements."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from tune_app.datasets import load_dataset
from tune_app.datasets.dataset import Dataset
from tune_app.errors import InputError, WorkFailed
from tune_app.spaces.variable import Config, Value, Variable
from tune_app.tasks import load_task
from tune_app.training.device import pick_device
from tune_app.training.failure import Diverged, TaskError, describe_error, failure_kind
from tune_app.training.health import SCORES
from tune_app.training.reading import ProbeError
from tune_app.training.seed import derive_seed
from tune_app.training.trial import Training, prepared

CNN = load_task("image_cnn")
FEW = load_dataset("digits").without_test().head(200)
NO_DATA = Dataset("none", "none", {}, {})


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def cnn(seed: int = 1, epochs: int = 4, **changes: Value) -> Training:
    config = {v.name: v.default for v in CNN.variables} | {"filters": 4, "shift": 0.1, **changes}
    return Training(CNN, config, FEW, epochs=epochs, seed=seed, threads=1)


def assert_same_weights(one: Training, other: Training) -> None:
    for mine, theirs in zip(one.state.model.parameters(), other.state.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)


class Returning:
    """A task that returns or raises a given value."""

    data_kind: ClassVar[str] = "none"
    variables: ClassVar[tuple[Variable, ...]] = ()
    constraints: ClassVar[tuple[str, ...]] = ()
    metrics: ClassVar[Mapping[str, Any]] = {"accuracy": "maximize", "loss": "minimize"}

    def __init__(self, returned: Any, weight: float = 1.0) -> None:
        self.returned, self.weight = returned, weight

    def load_data(self, dataset: str) -> Dataset:
        return NO_DATA

    def start(self, config: Config, data: Dataset, *, epochs: int, seed: int, device: torch.device) -> Any:
        class State:
            model = torch.nn.Linear(1, 1)

        torch.nn.init.constant_(State.model.weight, self.weight)
        return State()

    def train_epoch(self, state: Any, epoch: int, progress: Any) -> Any:
        if isinstance(self.returned, Exception):
            raise self.returned
        return self.returned

    def evaluate(self, state: Any, arrays: Any) -> Any:
        return {}


def run(returned: Any, weight: float = 1.0) -> dict[str, float | None]:
    return Training(Returning(returned, weight), {}, NO_DATA, epochs=1, seed=0).run_epoch().metrics


def test_seeds_differ_by_sweep_and_trial() -> None:
    seeds = {derive_seed(sweep, trial) for sweep in range(20) for trial in range(50)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert derive_seed(0, 0) == 2968811710  # must never change: stored results refer to their seeds


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_restored_training_continues_exactly(tmp_path: Path, optimizer: str) -> None:
    whole = cnn(optimizer=optimizer, learning_rate=1e-3)
    rows = [whole.run_epoch() for _ in range(4)]
    half = cnn(optimizer=optimizer, learning_rate=1e-3)
    half.run_epoch()
    half.run_epoch()
    half.save(tmp_path / "deep" / "half.pt")
    half.run_epoch()  # later epochs must not change the checkpoint

    torch.rand(17), np.random.rand(3), random.random()
    restored = cnn(optimizer=optimizer, learning_rate=1e-3)
    restored.restore(tmp_path / "deep" / "half.pt")
    assert restored.epoch == 2
    assert [restored.run_epoch().metrics for _ in range(2)] == [row.metrics for row in rows[2:]]
    assert restored.finished
    assert_same_weights(restored, whole)
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["half.pt"]


def test_an_epoch_depends_on_nothing_else_in_the_process() -> None:
    alone = [row.metrics for t in [cnn()] for row in (t.run_epoch(), t.run_epoch())]
    one, other = cnn(), cnn(seed=2)
    mixed = []
    for _ in range(2):
        mixed.append(one.run_epoch().metrics)
        other.run_epoch()
    assert mixed == alone


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"learning_rate": 0.5}, r"its config differs: learning_rate is 0.005 there, 0.5 here"),
        ({"seed": 3}, "its seed differs: 1 there, 3 here"),
        ({"epochs": 9}, "its epochs differs: 4 there, 9 here"),
    ],
)
def test_checkpoint_of_another_training(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    cnn().save(tmp_path / "a.pt")
    with pytest.raises(InputError, match=expected) as caught:
        cnn(**changes).restore(tmp_path / "a.pt")
    assert "a.pt" in caught.value.where


def test_checkpoint_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"half a file")
    for name in ("a.pt", "absent.pt"):
        with pytest.raises(WorkFailed, match="cannot be read"):
            cnn().restore(tmp_path / name)


def test_what_an_epoch_reports() -> None:
    training = cnn()
    row = training.run_epoch()
    assert row.epoch == training.epoch == 1
    assert set(row.metrics) == set(CNN.metrics)
    assert row.started_at.tzinfo is UTC
    assert row.started_at < row.ended_at
    assert 0 < row.duration_s < 10
    assert training.model_parameters == sum(p.numel() for p in training.state.model.parameters())
    assert training.device_name == "cpu"
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(("has_gpu", "picked"), [(True, "cuda"), (False, "cpu")])
def test_a_gpu_is_picked_if_there_is_one(has_gpu: bool, picked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    assert pick_device().type == picked


def test_every_epoch_has_its_health() -> None:
    training = cnn()
    rows = [training.run_epoch() for _ in range(4)]
    for row in rows:
        assert tuple(row.health) == SCORES
        assert 0 < row.health_s < (row.ended_at - row.started_at).total_seconds()
        for name in ("neuron_utilization", "parameter_efficiency", "gradient_health", "overall"):
            assert 0.0 < (row.health[name] or 0.0) <= 1.0
    history = ("training_stability", "convergence_quality", "accuracy_consistency")
    assert all(rows[0].health[name] is None for name in history), "too little history"
    assert all(rows[3].health[name] is not None for name in history)


def test_health_does_not_affect_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    changes: Config = {"dropout": 0.3, "noise": 0.1, "batch_norm": True}
    measured = cnn(**changes)
    with_health = [measured.run_epoch().metrics for _ in range(4)]
    monkeypatch.setattr("tune_app.training.trial.read_network", lambda model, probe_loss: None)
    bare = cnn(**changes)
    without = [bare.run_epoch() for _ in range(4)]
    assert [row.metrics for row in without] == with_health
    assert without[3].health["neuron_utilization"] is None
    assert_same_weights(measured, bare)


def test_health_continues_after_a_restore(tmp_path: Path) -> None:
    whole = cnn()
    rows = [whole.run_epoch() for _ in range(4)]
    half = cnn()
    half.run_epoch()
    half.run_epoch()
    half.save(tmp_path / "half.pt")
    restored = cnn()
    restored.restore(tmp_path / "half.pt")
    assert restored.history == half.history
    assert [restored.run_epoch().health for _ in range(2)] == [row.health for row in rows[2:]]


class Rich(Returning):
    """A task with every optional part."""

    prepared_by: ClassVar[tuple[str, ...]] = ()

    def prepare(self, config: Config, data: Dataset) -> Dataset:
        return Dataset(data.name, "prepared", {}, {})

    def probe_loss(self, state: Any) -> Any:
        return state.model(torch.ones(4, self.width)).sum()

    def sample(self, state: Any) -> str:
        return f"{state.model.weight.item():g} and {torch.rand(()).item():.6f}"

    width: ClassVar[int] = 1


def test_optional_parts_of_a_task() -> None:
    returned = {"accuracy": 0.5, "loss": 1.0}
    rich = Training(Rich(returned), {}, NO_DATA, epochs=1, seed=0)
    row = rich.run_epoch()
    assert rich.latency_ms is not None
    assert rich.latency_ms == rich.latency_ms > 0
    text = rich.sample()
    assert text is not None
    assert text.startswith("1 and 0.")
    torch.rand(3)
    assert rich.sample() == text, "the same state gives the same sample"
    plain = Training(Returning(returned), {}, NO_DATA, epochs=1, seed=0)
    assert plain.run_epoch().health == dict.fromkeys(SCORES), "it has neither a probe nor a history"
    assert (plain.latency_ms, plain.sample()) == (None, None)
    assert row.health == dict.fromkeys(SCORES), "a single layer has nothing to compare with"
    assert prepared(Rich(returned), {}, NO_DATA).kind == "prepared"
    assert prepared(Returning(returned), {}, NO_DATA) is NO_DATA


def test_a_sample_must_be_a_string(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rich, "sample", lambda self, state: b"bytes")
    training = Training(Rich({"accuracy": 0.5, "loss": 1.0}), {}, NO_DATA, epochs=1, seed=0)
    with pytest.raises(TaskError, match="`sample` must return a string, but returned b'bytes'"):
        training.sample()


def test_a_failing_probe_fails_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rich, "width", 7)
    training = Training(Rich({"accuracy": 0.5, "loss": 1.0}), {}, NO_DATA, epochs=1, seed=0)
    with pytest.raises(RuntimeError) as caught:
        training.run_epoch()
    assert failure_kind(caught.value) == "error"
    assert describe_error(caught.value).endswith("in probe_loss)")
    assert training.epoch == 0
    monkeypatch.setattr(Rich, "probe_loss", lambda self, state: 0.5)
    with pytest.raises(ProbeError, match=r"must return one number with its graph, but returned 0\.5"):
        training.run_epoch()


def test_only_declared_metrics_are_kept() -> None:
    returned = {"accuracy": torch.tensor(0.5), "loss": np.float32(2), "extra": 1}
    assert run(returned) == {"accuracy": 0.5, "loss": 2.0}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_diverged_metric(value: float) -> None:
    with pytest.raises(Diverged, match=f"`loss` is {value} in epoch 1"):
        run({"accuracy": 0.1, "loss": value})


def test_a_diverged_parameter_is_found_despite_a_good_metric() -> None:
    with pytest.raises(Diverged, match="`weight` has NaN or infinity after epoch 1"):
        run({"accuracy": 0.1, "loss": 0.0}, weight=float("nan"))


def test_a_real_training_diverges() -> None:
    changes: Config = {"batch_norm": False, "normalization": "none", "activation": "leaky_relu", "warmup_epochs": 0.0}
    training = cnn(optimizer="sgd", learning_rate=10.0, batch_size=16, **changes)
    with pytest.raises(Diverged, match="in epoch 1"):
        training.run_epoch()


def with_parameter(parameter: torch.nn.Parameter) -> Training:
    training = Training(Returning({"accuracy": 0.5, "loss": 1.0}), {}, NO_DATA, epochs=1, seed=0)
    training.state.model = torch.nn.Linear(1, 1)
    training.state.model.register_parameter("more", parameter)
    return training


KINDS: dict[str, Callable[[float], Tensor]] = {
    "double": lambda value: torch.tensor([1e300, value], dtype=torch.float64),
    "complex": lambda value: torch.tensor([1j, value], dtype=torch.complex64),
    "sparse": lambda value: torch.tensor([[0.0, value]]).to_sparse(),
    "sparse rows": lambda value: torch.tensor([[0.0, value]]).to_sparse_csr(),
}


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta state")
@pytest.mark.parametrize("kind", KINDS)
def test_parameters_of_every_kind_are_checked(kind: str) -> None:
    assert with_parameter(torch.nn.Parameter(KINDS[kind](2.0))).run_epoch().epoch == 1
    with pytest.raises(Diverged, match="`more` has NaN or infinity"):
        with_parameter(torch.nn.Parameter(KINDS[kind](math.inf))).run_epoch()


def test_parameters_that_cannot_diverge() -> None:
    whole = torch.nn.Parameter(torch.tensor([1, 2]), requires_grad=False)
    assert with_parameter(whole).run_epoch().epoch == 1
    lazy = with_parameter(torch.nn.parameter.UninitializedParameter())
    assert lazy.model_parameters == 2, "an uninitialized parameter does not count"
    assert lazy.run_epoch().epoch == 1


def test_missing_metric() -> None:
    with pytest.raises(TaskError, match="omitted accuracy in epoch 1; it returned acuracy, loss"):
        run({"acuracy": 0.1, "loss": 0.0})


def test_an_undefined_metric_stays_undefined() -> None:
    assert run({"accuracy": None, "loss": 2}) == {"accuracy": None, "loss": 2.0}


@pytest.mark.parametrize("value", ["0.5", [1, 2], torch.ones(2)])
def test_metric_that_is_not_a_number(value: object) -> None:
    with pytest.raises(TaskError, match="a metric must be a number, but `accuracy` is"):
        run({"accuracy": value, "loss": 0.0})


def test_task_that_returns_nothing() -> None:
    with pytest.raises(TaskError, match="must return a mapping of metrics, but returned None"):
        run(None)


class OutOfMemoryError(Exception):
    """Has the same name as Ray's error."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "oom"),
        (RuntimeError("CUDA error: out of memory"), "oom"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"), "oom"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"), "oom"),
        (MemoryError(), "oom"),
        (OutOfMemoryError("the node runs low"), "oom"),
        (Diverged("loss is nan"), "diverged"),
        (TaskError("no loss"), "error"),
        (ValueError("out of memory lane"), "error"),
        (RuntimeError("shapes do not match"), "error"),
    ],
)
def test_failure_kind(error: Exception, kind: str) -> None:
    assert failure_kind(error) == kind
    wrapped = KeyError("while training")
    wrapped.__cause__ = error
    assert failure_kind(wrapped) == kind


def test_real_allocation_failures() -> None:
    for allocate in (lambda: torch.empty(2**60), lambda: np.empty(2**58)):
        with pytest.raises((RuntimeError, MemoryError)) as caught:
            allocate()
        assert failure_kind(caught.value) == "oom"


def test_an_error_names_the_line_in_the_task() -> None:
    class Failing(Returning):
        def train_epoch(self, state: Any, epoch: int, progress: Any) -> Any:
            return state.model(torch.ones(1, 7))  # fails deep inside torch

    with pytest.raises(RuntimeError) as caught:
        Training(Failing({}), {}, NO_DATA, epochs=1, seed=0).run_epoch()
    text = describe_error(caught.value)
    assert text.startswith("RuntimeError: mat1 and mat2 shapes cannot be multiplied")
    assert "test_trial.py:" in text
    assert text.endswith("in train_epoch)")
    assert "\n" not in text


def test_an_error_without_a_location() -> None:
    assert describe_error(ValueError("one\n  two")) == "ValueError: one two"
    with pytest.raises(Diverged) as caught:
        run({"accuracy": 0.1, "loss": float("nan")})
    assert describe_error(caught.value) == "Diverged: a metric must be finite, but `loss` is nan in epoch 1"
    assert len(describe_error(ValueError("x" * 9999))) < 1100


def test_an_error_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "marked-secret")
    error = ValueError("no answer from http://me:hidden@host/a for marked-secret")
    assert describe_error(error) == "ValueError: no answer from http://…@host/a for …"


def test_peak_memory_covers_only_this_training() -> None:
    before = cnn()
    before.run_epoch()
    if before.peak_memory_mb is None:
        pytest.skip("this system does not report peak memory")
    block = torch.ones(100 * 2**18)  # 100 MiB
    assert before.peak_memory_mb > 100
    high = before.peak_memory_mb
    del block
    after = cnn().peak_memory_mb
    assert after is not None
    assert after < high - 50


def test_unmeasured_peak_memory_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "write_text", refuse)
    assert cnn().peak_memory_mb is None


def test_a_scikit_learn_model_trains_and_continues_exactly(sgd_task: str, tmp_path: Path) -> None:
    task = load_task(sgd_task)

    def training() -> Training:
        return Training(task, {"alpha": 1e-4}, load_dataset("digits").without_test(), epochs=5, seed=3)

    whole, first, second = training(), training(), training()
    for _ in range(5):
        whole.run_epoch()
    for _ in range(2):
        first.run_epoch()
    first.save(tmp_path / "checkpoint.pt")
    second.restore(tmp_path / "checkpoint.pt")
    while not second.finished:
        second.run_epoch()
    assert [row.metrics for row in second.history] == [row.metrics for row in whole.history]
    assert (whole.history[-1].metrics["val_accuracy"] or 0) > 0.8
    assert (whole.network, whole.model_parameters, whole.latency_ms, whole.sample()) == (None,) * 4
    absent = {name for name, figure in whole.history[-1].health.items() if figure is None}
    assert absent == {"neuron_utilization", "parameter_efficiency", "gradient_health"}


@pytest.mark.parametrize("attributes", [{}, {"model": None}, {"model": "a script"}])
def test_a_probe_is_not_called_without_a_network(attributes: dict[str, Any]) -> None:
    class Scripted(Returning):
        def start(self, *given: Any, **named: Any) -> Any:
            return SimpleNamespace(**attributes)

        def probe_loss(self, state: Any) -> Tensor:
            raise AssertionError("there is no network to probe")

    training = Training(Scripted({"accuracy": 0.5, "loss": 1.0}), {}, NO_DATA, epochs=1, seed=0)
    assert training.run_epoch().metrics == {"accuracy": 0.5, "loss": 1.0}
    assert (training.model_parameters, training.latency_ms) == (None, None)
