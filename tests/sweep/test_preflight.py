"""Preflight: what it catches before a sweep, what is only a warning, and the forecast."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import pytest
import torch

from tune_app.datasets.dataset import Dataset
from tune_app.document import Document
from tune_app.errors import InputError
from tune_app.spaces.spec import Spec
from tune_app.spaces.variable import Config, Float, Int, Variable
from tune_app.sweep.preflight import RANDOM_CONFIGS, TRIED_ROWS, Forecast, GpuMemory, gpu_memory, preflight
from tune_app.tasks import load_task
from tune_app.tasks.catalogs import catalog_of
from tune_app.tasks.spec_file import read_spec
from tune_app.tasks.task import Task


class Wobbly:
    """A task that does nothing, or whatever the test asks for."""

    data_kind: ClassVar[str] = "none"
    variables: ClassVar = (
        Variable("layers", "architecture", Int(1, 9), 2, "Layers."),
        Variable("rate", "training", Float(0, 1), 0.1, "Learning rate."),
    )
    constraints: ClassVar[tuple[str, ...]] = ()
    metrics: ClassVar[Mapping[str, str]] = {"accuracy": "maximize", "loss": "minimize"}

    def __init__(
        self,
        result: Callable[[Config], Mapping[str, float]] = lambda config: {"accuracy": 0.5, "loss": 1.0},
        fails: str = "",
        data: Dataset | None = None,
    ) -> None:
        self.result, self.fails = result, fails
        self.data = data or Dataset("none", "none", {}, {})
        self.started: list[tuple[int, int]] = []
        self.devices: list[str] = []

    def load_data(self, dataset: str) -> Dataset:
        return self.data

    def start(self, config: Config, data: Dataset, *, epochs: int, seed: int, device: torch.device) -> Any:
        if self.fails == "start":
            raise ValueError(f"cannot build {config['layers']} layers")
        self.started.append((data.rows, epochs))
        self.devices.append(device.type)

        class State:
            model = torch.nn.Linear(1, 1)
            settings = config

            def state_dict(self) -> dict[str, Any]:
                return {"broken": lambda: None} if fails == "save" else {}

            def load_state_dict(self, saved: dict[str, Any]) -> None:
                assert saved == {}

        fails = self.fails
        return State()

    def train_epoch(self, state: Any, epoch: int, progress: Any) -> Mapping[str, float]:
        if self.fails == "oom":
            raise MemoryError
        return self.result(state.settings)

    def evaluate(self, state: Any, arrays: Any) -> Mapping[str, float]:
        return {}


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def spec(task: Wobbly, **sections: Any) -> Spec:
    document = {
        "schema_version": 1,
        "name": "wobbly",
        "task": "wobbly",
        "dataset": "none",
        "objective": {"metric": "loss"},
        "budget": {"trials": 10, "epochs": 9},
        "resources": {"concurrent": 2},
        "parameters": {"architecture": {"layers": {"type": "int", "low": 2, "high": 8}}},
    }
    return Spec.from_dict({**document, **sections}, "here", catalog_of(cast(Task, task), document["task"]))


def run(task: Wobbly, **sections: Any) -> Forecast:
    return preflight(spec(task, **sections), cast(Task, task), task.data)


def test_smallest_largest_and_random() -> None:
    forecast = run(Wobbly())
    assert [p.label for p in forecast.probes] == ["smallest", "largest"] + ["random"] * RANDOM_CONFIGS
    assert [p.config["layers"] for p in forecast.probes[:2]] == [2, 8]
    assert all(2 <= int(p.config["layers"]) <= 8 for p in forecast.probes)
    assert all(p.config["rate"] == 0.1 and p.model_parameters == 2 and p.kind is None for p in forecast.probes)
    json.dumps(forecast.to_dict(), allow_nan=False)


def test_a_task_without_rows_of_data_has_a_forecast() -> None:
    assert run(Wobbly()).seconds > 0


def test_a_task_that_cannot_be_built() -> None:
    with pytest.raises(InputError) as caught:
        run(Wobbly(fails="start"))
    error = caught.value
    assert error.message.startswith(
        "the smallest configuration cannot be trained (error): ValueError: cannot build 2 layers ("
    )
    assert "in start)" in error.message
    assert (error.where, error.hint) == ("task wobbly", "configuration: layers=2, rate=0.1")
    assert error.exit_code == 2


def test_only_the_largest_fails() -> None:
    def fail(config: Config) -> Mapping[str, float]:
        if config["layers"] == 8:
            raise IndexError("too deep")
        return {"accuracy": 0.5, "loss": 1.0}

    with pytest.raises(
        InputError, match=r"the largest configuration cannot be trained .*IndexError: too deep"
    ) as caught:
        run(Wobbly(fail))
    assert "layers=8" in caught.value.hint


def test_every_configuration_gives_nan() -> None:
    with pytest.raises(InputError, match=r"\(diverged\): Diverged: .*`loss` is nan in epoch 1") as caught:
        run(Wobbly(lambda config: {"accuracy": 0.5, "loss": math.nan}))
    assert "layers=2" in caught.value.hint


@pytest.mark.parametrize(
    ("objective", "epochs", "fits"),
    [
        ({"metric": "loss", "mode": "pareto", "against": "latency"}, 9, False),
        ({"metric": "loss", "mode": "pareto", "against": "size"}, 1, True),
        ({"metric": "loss", "mode": "pareto", "against": "health"}, 2, False),
        ({"metric": "loss", "mode": "pareto", "against": "health"}, 4, False),
        ({"metric": "loss", "mode": "health"}, 9, False),
        ({"metric": "val_loss", "mode": "pareto", "against": "health"}, 3, False),
        ({"metric": "val_loss", "mode": "pareto", "against": "health"}, 4, True),
        ({"metric": "val_loss", "mode": "health"}, 4, True),
    ],
)
def test_an_objective_that_no_trial_can_compute(objective: dict[str, Any], epochs: int, fits: bool) -> None:
    sections = {"objective": objective, "budget": {"trials": 10, "epochs": epochs}, "pruning": {"level": "off"}}
    task = Wobbly()
    if objective["metric"] == "val_loss":  # three figures are computed from it
        task = Wobbly(lambda config: {"val_loss": 1.0})
        task.metrics = {"val_loss": "minimize"}  # type: ignore[misc]
    if fits:
        assert run(task, **sections).probes[0].kind is None
    else:
        with pytest.raises(InputError, match=f"needs a number that no trial of {epochs} epochs has"):
            run(task, **sections)


def test_every_configuration_runs_out_of_memory() -> None:
    with pytest.raises(InputError, match=r"\(oom\): MemoryError"):
        run(Wobbly(fails="oom"))


def test_a_state_that_cannot_be_saved() -> None:
    with pytest.raises(InputError, match=r"cannot be trained \(error\): .*[Pp]ickl"):
        run(Wobbly(fails="save"))


def test_a_missing_metric() -> None:
    with pytest.raises(InputError, match="omitted loss in epoch 1") as caught:
        run(Wobbly(lambda config: {"accuracy": 0.5}))
    assert "layers=2" in caught.value.hint


@pytest.mark.parametrize("bad", [2, 8])
def test_a_diverging_configuration_is_only_a_warning(bad: int) -> None:
    task = Wobbly(lambda config: {"accuracy": 0.5, "loss": math.inf if config["layers"] == bad else 1.0})
    forecast = run(task)
    kinds = {p.config["layers"]: (p.kind, p.epoch_s is None) for p in forecast.probes}
    assert kinds[bad] == ("diverged", True)
    assert all(kind == (None, False) for layers, kind in kinds.items() if layers != bad)
    assert "`loss` is inf" in next(p.error or "" for p in forecast.probes if p.kind)
    assert forecast.seconds > 0


def test_all_random_configurations_diverge() -> None:
    task = Wobbly(lambda config: {"accuracy": 0.5, "loss": 1.0 if config["layers"] in (2, 8) else math.nan})
    forecast = run(task, search={"seed": 1})
    assert {p.kind for p in forecast.probes if p.label == "random"} == {"diverged"}
    assert forecast.seconds > 0


class Clock:
    """A clock on which every epoch takes two seconds."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        self.time += 2.0
        return self.time


def test_forecast_for_known_rungs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune_app.training.trial.time.perf_counter", Clock())
    forecast = run(Wobbly())
    # normal: rungs 1 and 4 of 9 epochs, one trial in 4 continues: 1 + 3/4 + 5/16 epochs per trial
    assert forecast.rungs == (1, 4)
    assert forecast.epochs == pytest.approx(10 * (1 + 3 / 4 + 5 / 16))
    assert [p.epoch_s for p in forecast.probes] == [2.0] * 4
    assert forecast.seconds == pytest.approx(2 * forecast.epochs / 2), "two trials run at once"
    assert forecast.device_hours == pytest.approx(2 * forecast.epochs / 3600)
    assert (forecast.trials, forecast.slots) == (10, 2)
    assert forecast.on(4).seconds == pytest.approx(2 * forecast.epochs / 4)
    assert forecast.on(400).seconds == pytest.approx(2 * forecast.epochs / 10), "no more than there are trials"
    assert forecast.on(0).seconds is None


@pytest.mark.parametrize(
    ("level", "epochs", "expected"),
    [
        ("off", 9, 9.0),
        ("aggressive", 16, 1 + 5 / 6 + 10 / 36),
        ("gentle", 30, 3 + 6 / 3 + 18 / 9 + 3 / 27),
        ("normal", 1, 1.0),
    ],
)
def test_expected_epochs(level: str, epochs: int, expected: float) -> None:
    budget = {"trials": 1, "epochs": epochs}
    assert run(Wobbly(), pruning={"level": level}, budget=budget).epochs == pytest.approx(expected)


def test_only_some_rows_are_tried_and_the_rest_is_extrapolated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune_app.training.trial.time.perf_counter", Clock())
    images = torch.zeros(4 * TRIED_ROWS, 1).numpy()
    task = Wobbly(data=Dataset("many", "none", {"images": images}, {"images": images}))
    forecast = run(task)
    assert task.started == [(TRIED_ROWS, 9)] * 5, "the smallest configuration runs twice"
    assert [p.epoch_s for p in forecast.probes] == [8.0] * 4


def test_slots_follow_the_number_of_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert run(Wobbly(), resources={"cpus": 2}).slots == 4
    assert run(Wobbly(), resources={"cpus": 16}).slots == 1
    assert run(Wobbly(), resources={"cpus": 0.5}).slots == 16
    assert run(Wobbly(), resources={"concurrent": 3}).slots == 3
    assert run(Wobbly(), resources={"concurrent": 300}).slots == 8, "no more than the processors allow"


def test_a_grid_has_no_more_trials_than_combinations() -> None:
    forecast = run(Wobbly(), search={"sampler": "grid"}, budget={"trials": 500, "epochs": 9})
    assert forecast.trials == 7


def test_an_unseeded_generator_is_detected() -> None:
    rng = np.random.default_rng()
    notes = run(Wobbly(lambda config: {"accuracy": 0.5, "loss": float(rng.random())})).notes
    assert len(notes) == 1
    assert "`loss` differs between two trainings" in notes[0]
    assert run(Wobbly(lambda config: {"accuracy": 0.5, "loss": float(np.random.random())})).notes == ()


def test_a_search_space_with_gpus_is_checked_for_unseeded_generators_too(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng()
    task = Wobbly(lambda config: {"accuracy": 0.5, "loss": float(rng.random())})
    assert "`loss` differs" in run(task, resources={"gpus": 0.5}).notes[0], "no GPU here"
    task.devices.clear()
    monkeypatch.setattr("tune_app.sweep.preflight.pick_device", lambda: torch.device("meta"))
    assert "`loss` differs" in run(task, resources={"gpus": 0.5}).notes[0]
    assert task.devices == ["meta"] * (2 + RANDOM_CONFIGS) + ["cpu"] * 2, "some kernels of a GPU differ by themselves"


def test_a_failure_on_truncated_data_says_that_it_was_truncated() -> None:
    task = Wobbly(fails="start", data=Dataset("rows", "none", {"x": np.zeros(3 * TRIED_ROWS)}, {}))
    with pytest.raises(InputError, match="tried on the first 256 of 768 rows"):
        run(task)


class Graph(Wobbly):
    """A task in which each data row refers to another row."""

    def start(self, config: Config, data: Dataset, **given: Any) -> Any:
        rows = data.train["neighbor"]
        assert rows[rows].shape == rows.shape
        return super().start(config, data, **given)


def test_data_whose_rows_refer_to_each_other_is_used_whole_with_a_note() -> None:
    rows = 3 * TRIED_ROWS
    task = Graph(data=Dataset("graph", "none", {"neighbor": np.arange(rows)[::-1]}, {}))
    (note,) = run(task).notes
    # Each configuration once, and the first one again for comparison.
    assert [tried for tried, _ in task.started] == [rows] * (2 + RANDOM_CONFIGS + 1)
    start = "the preflight trained on all rows, because it fails on the first 256 of 768 rows: IndexError"
    assert note.startswith(start)


def test_arrays_of_unequal_length_are_used_whole() -> None:
    task = Wobbly(data=Dataset("rows", "none", {"x": np.zeros(3 * TRIED_ROWS), "vocabulary": np.zeros(900)}, {}))
    run(task)
    assert task.started[0][0] == 3 * TRIED_ROWS


def test_notes_of_the_data_and_the_space_are_shown() -> None:
    task = Wobbly(data=Dataset("rows", "none", {"x": np.zeros(3)}, {}, {"notes": ("one row",)}))
    layers = {"type": "int", "low": 1, "high": 9, "step": 5}
    notes = run(task, parameters={"architecture": {"layers": layers}}).notes
    assert notes == ("`layers` ends at 6: from 1 in steps of 5 it does not reach 9", "one row")


def test_several_devices_share_the_time_and_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setattr(Wobbly, "data_parallel", True, raising=False)
    forecast = run(Wobbly(), resources={"cpus": 2, "devices": 2})
    assert forecast.slots == 2
    assert forecast.seconds == pytest.approx(forecast.device_hours * 3600 / 4)


def test_a_real_task() -> None:
    document = {
        "schema_version": 1,
        "name": "real",
        "task": "image_cnn",
        "dataset": "digits",
        "objective": {"metric": "val_accuracy"},
        "budget": {"trials": 3, "epochs": 2},
        "parameters": {"architecture": {"filters": {"type": "int", "low": 2, "high": 6}}},
    }
    task = load_task("image_cnn")
    forecast = preflight(read_spec(Document.of(document, "here")), task, task.load_data("digits"))
    sizes = [p.model_parameters or 0 for p in forecast.probes]
    assert sizes[0] == min(sizes) < max(sizes) == sizes[1]
    assert all(0 < (p.epoch_s or 0) < 30 for p in forecast.probes)


def test_the_memory_of_the_largest_configuration_on_all_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Wobbly(data=Dataset("rows", "none", {"x": np.zeros(3 * TRIED_ROWS)}, {}))
    monkeypatch.setattr("tune_app.sweep.preflight.gpu_memory_in_use", lambda: (300, 1000))
    trained: list[Config] = []
    task.result = lambda config: trained.append(config) or {"accuracy": 0.5, "loss": 1.0}  # type: ignore[func-returns-value]
    assert gpu_memory(spec(task), cast(Task, task), task.data) == GpuMemory(300, 1000)
    assert [config["layers"] for config in trained] == [8]
    assert task.started == [(3 * TRIED_ROWS, 9)]


@pytest.mark.parametrize("gpus", [0.5, "auto", 1, 0])
@pytest.mark.parametrize("state", ["runs", "offered", "absent"])
def test_trials_that_share_a_gpu_get_a_note_about_mps(
    gpus: float | str, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tune_app.sweep.preflight.gpu_count", lambda: 1)
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    if state != "absent":
        (tmp_path / "nvidia-cuda-mps-control").touch(mode=0o755)
    if state == "runs":
        (tmp_path / "control").touch()
    notes = " ".join(run(Wobbly(), resources={"gpus": gpus}).notes)
    words = {
        "runs": "compute at the same time",
        "offered": "nvidia-cuda-mps-control -d",
        "absent": "has no nvidia-cuda",
    }
    assert (words[state] in notes) is (gpus in (0.5, "auto")), notes
    assert ("install tune-app[gpu]" in notes) is bool(gpus), "assumes that nvidia-ml-py is not installed"


def test_a_configuration_too_large_for_the_gpu_takes_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Wobbly(fails="oom")
    monkeypatch.setattr("tune_app.sweep.preflight.gpu_memory_in_use", lambda: (300, 1000))
    assert gpu_memory(spec(task), cast(Task, task), task.data) == GpuMemory(1000, 1000)


def test_a_configuration_that_cannot_be_built_is_rejected_there_too(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Wobbly(fails="start")
    monkeypatch.setattr("tune_app.sweep.preflight.gpu_memory_in_use", lambda: (300, 1000))
    with pytest.raises(InputError, match="the largest configuration cannot be trained"):
        gpu_memory(spec(task), cast(Task, task), task.data)


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a GPU")
def test_without_a_gpu_there_is_no_figure() -> None:
    task = Wobbly()
    assert gpu_memory(spec(task), cast(Task, task), task.data) is None
    assert task.started == []


def test_a_task_without_a_network_passes_unless_its_size_or_latency_counts(
    sgd_task: str, make_spec: Callable[..., Spec]
) -> None:
    task, alpha = load_task(sgd_task), {"type": "float", "low": 1e-5, "high": 0.1, "log": True}

    def forecast(**objective: Any) -> Forecast:
        sections = {"parameters": {"training": {"alpha": alpha}}, "constraints": [], "objective": objective}
        spec = make_spec(task=sgd_task, budget={"trials": 2, "epochs": 4}, **sections)
        return preflight(spec, task, task.load_data("digits").without_test())

    for mode in ("simple", "health"):
        probes = forecast(metric="val_accuracy", mode=mode).probes
        assert [(probe.model_parameters, probe.error) for probe in probes] == [(None, None)] * len(probes)
    for against in ("size", "latency"):
        with pytest.raises(InputError, match=r"needs a number that no trial of 4 epochs has.*size needs a torch model"):
            forecast(metric="val_accuracy", mode="pareto", against=against)
