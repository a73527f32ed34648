"""A user's function as a task: its loop, its reports, what is saved, how it ends, and what is rejected."""

from __future__ import annotations

import functools
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tune_app.datasets.dataset import Dataset
from tune_app.document import Document
from tune_app.errors import InputError
from tune_app.profiles.profile import Profile
from tune_app.profiles.profile_document import read_document
from tune_app.spaces.catalog import Catalog
from tune_app.spaces.open_catalog import completed
from tune_app.spaces.spec import Spec, read_spec
from tune_app.spaces.variable import Categorical, Int
from tune_app.tasks import load_task
from tune_app.tasks.function_task import FunctionTask
from tune_app.tasks.given_function import given_function, name_function
from tune_app.tasks.report import FOLDER, Report, ReportError
from tune_app.tasks.shared_data import shared
from tune_app.training.trial import Training

SPACE: dict[str, Any] = {
    "schema_version": 1,
    "name": "own",
    "task": "train:tune",
    "metrics": {"val_loss": "minimize"},
    "parameters": {
        "architecture": {"hidden": {"type": "int", "low": 4, "high": 64, "log": True}},
        "training": {
            "lr": {"type": "float", "low": 1e-3, "high": 0.1, "default": 0.02, "description": "Learning rate."},
            "batch": 16,
        },
    },
}
NO_DATA = Dataset("none", "none", {}, {})
CONFIG = {"hidden": 8, "lr": 0.02, "batch": 16}
Function = Callable[[Any, Report], Any]


def open_spec(**sections: Any) -> Spec:
    document = Document.of({**SPACE, **sections}, "space")
    return read_spec(document, lambda found: Catalog(found.data["task"], (), open=True))


def training_of(function: Function, epochs: int = 4, seed: int = 0) -> Training:
    task: Any = FunctionTask(function, open_spec().catalog)
    return Training(task, CONFIG, NO_DATA, epochs=epochs, seed=seed, threads=1)


def tune(config: Any, report: Report) -> dict[str, float] | None:
    """A small network whose weights, row order, and dropout are random."""
    rows = torch.arange(320.0).reshape(32, 10).sin()
    model = nn.Sequential(nn.Linear(10, config["hidden"]), nn.ReLU(), nn.Dropout(0.2), nn.Linear(config["hidden"], 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=config["lr"], momentum=0.9)

    def loss(part: torch.Tensor) -> torch.Tensor:
        return (model(part).squeeze(1) - part.sum(1)).square().mean()

    start = report.restore(model=model, optimizer=optimizer)
    for _ in range(start, report.epochs):
        for part in rows[torch.randperm(len(rows))].split(config["batch"]):
            optimizer.zero_grad()
            loss(part).backward()
            optimizer.step()
        with torch.no_grad():
            report({"val_loss": loss(rows)}, probe=lambda: loss(rows[:8]))
            assert not torch.is_grad_enabled()
    return {"test_loss": 0.5} if report.final else None


def losses(training: Training) -> list[Any]:
    while not training.finished:
        training.run_epoch()
    return [row.metrics["val_loss"] for row in training.history]


def test_each_report_is_an_epoch_and_a_seed_gives_the_same_numbers() -> None:
    first = losses(training_of(tune))
    assert len(set(first)) == 4
    assert losses(training_of(tune)) == first
    assert losses(training_of(tune, seed=1)) != first


def test_random_draws_before_restore_repeat_when_a_function_restarts(tmp_path: Path) -> None:
    def split(config: Any, report: Report) -> None:
        model = nn.Linear(1, 1)
        rows = torch.randperm(100)[:10]
        for _ in range(report.restore(model=model), report.epochs):
            report({"val_loss": float(rows.sum())})

    cut, again = training_of(split), training_of(split)
    cut.run_epoch()
    cut.run_epoch()
    cut.save(tmp_path / "checkpoint.pt")
    again.restore(tmp_path / "checkpoint.pt")
    assert len(set(losses(again))) == 1


def test_saving_a_restored_finished_training_keeps_its_checkpoint(tmp_path: Path) -> None:
    done, again, third = training_of(tune), training_of(tune), training_of(tune)
    losses(done)
    done.save(tmp_path / "checkpoint.pt")
    again.restore(tmp_path / "checkpoint.pt")
    again.save(tmp_path / "checkpoint.pt")
    third.restore(tmp_path / "checkpoint.pt")
    assert third.epoch == 4


@pytest.mark.parametrize("mode", [torch.inference_mode(), torch.autocast("cpu")], ids=["inference_mode", "autocast"])
def test_a_report_inside_a_torch_mode_is_rejected(mode: Any) -> None:
    def within(config: Any, report: Report) -> None:
        with mode:
            report({"val_loss": 1.0})

    with pytest.raises(ReportError, match="must report outside `torch"):
        training_of(within).run_epoch()


def test_a_fixed_epochs_variable_is_kept() -> None:
    spec = open_spec(budget={"epochs": 15, "trials": 1}, parameters={"training": {"epochs": 15, "lr": 0.1}})
    assert spec.to_dict()["parameters"]["training"] == {"epochs": 15, "lr": 0.1}


@pytest.mark.parametrize("after", [1, 3])
def test_a_restored_function_continues_as_if_it_had_never_stopped(after: int, tmp_path: Path) -> None:
    whole, cut, restored = training_of(tune), training_of(tune), training_of(tune)
    for _ in range(after):
        cut.run_epoch()
    cut.save(tmp_path / "checkpoint.pt")
    cut.close()
    restored.restore(tmp_path / "checkpoint.pt")
    assert restored.epoch == after
    assert losses(restored) == losses(whole)


def test_without_restore_a_training_starts_over(tmp_path: Path) -> None:
    def plain(config: Any, report: Report) -> None:
        for epoch in range(report.epochs):
            report({"val_loss": 1.0 / (1 + epoch)})

    cut, again = training_of(plain), training_of(plain)
    cut.run_epoch()
    cut.run_epoch()
    cut.save(tmp_path / "checkpoint.pt")
    again.restore(tmp_path / "checkpoint.pt")
    assert again.epoch == 0
    assert losses(again) == [1.0, 0.5, 1 / 3, 0.25]
    assert again.network is None
    assert again.model_parameters is None


def test_health_comes_from_the_probe() -> None:
    training = training_of(tune)
    losses(training)
    assert training.model_parameters == 10 * 8 + 8 + 8 + 1
    assert training.history[-1].health["gradient_health"] is not None
    assert training.latency_ms is not None


def test_a_stopped_function_cleans_up_and_cannot_swallow_the_stop() -> None:
    said: list[str] = []

    def stubborn(config: Any, report: Report) -> None:
        report.close_with(lambda: said.append("closed"))
        said.append(str(report.trial_folder))
        assert report.trial_folder.is_dir()
        try:
            for _ in range(report.epochs):
                try:
                    report({"val_loss": 1.0})
                except Exception:
                    said.append("swallowed")
        finally:
            said.append("finally")

    training = training_of(stubborn)
    training.run_epoch()
    training.close()
    assert said[1:] == ["finally", "closed"]
    assert not Path(said[0]).exists()


def test_a_function_returns_normally_after_its_last_report() -> None:
    ends: list[Any] = []

    def looped(config: Any, report: Report) -> None:
        for _ in range(report.epochs):
            report({"val_loss": 1.0})
        ends.append(report.final)

    training = training_of(looped)
    losses(training)
    training.close()
    assert ends == [False]


def test_the_test_set_is_measured_only_after_the_last_epoch() -> None:
    training = training_of(tune)
    losses(training)
    assert training.task.finish(training.state) == {"test_loss": 0.5}  # type: ignore[attr-defined]


def reporting(*given: Any) -> Function:
    def function(config: Any, report: Report) -> None:
        for metrics in given:
            report(metrics)

    return function


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (reporting({"val_loss": 1.0}), "must report 4 epochs, but returned after 1"),
        (reporting({"val_loss": 1.0}, {}), "must report its metrics, val_loss, but leaves out val_loss"),
        (reporting({"val_loss": 1.0, "loss": 1.0}), "but reports loss, which the search space does not list"),
        (reporting(0.3), "must report a mapping with val_loss, but reports 0.3"),
    ],
)
def test_errors_about_reports_name_the_function(function: Function, message: str) -> None:
    training = training_of(function)
    with pytest.raises(ReportError, match=message) as told:
        losses(training)
    assert str(told.value).startswith("`train:tune` must")


def test_extra_and_late_reports_are_rejected() -> None:
    kept: list[Report] = []

    def greedy(config: Any, report: Report) -> Any:
        kept.append(report)
        for _ in range(report.epochs + 1):
            report({"val_loss": 1.0})

    training = training_of(greedy)
    losses(training)
    with pytest.raises(ReportError, match="must report 4 epochs, but reports another one"):
        training.task.finish(training.state)  # type: ignore[attr-defined]
    training.close()
    with pytest.raises(ReportError, match="must not report after it has ended"):
        kept[0]({"val_loss": 1.0})


def test_the_return_value_must_be_metrics() -> None:
    def listing(config: Any, report: Report) -> Any:
        for _ in range(report.epochs):
            report({"val_loss": 1.0})
        return [0.5]

    training = training_of(listing)
    losses(training)
    with pytest.raises(ReportError, match="must return a mapping of metrics or nothing"):
        training.task.finish(training.state)  # type: ignore[attr-defined]


def test_the_variables_are_those_of_the_search_space() -> None:
    spec = open_spec()
    hidden, lr, batch = spec.catalog.variables
    assert (hidden.default, hidden.domain) == (16, Int(4, 64, log=True))
    assert (lr.default, lr.description) == (0.02, "Learning rate.")
    assert (batch.default, batch.domain.contains(2**40), batch.domain.contains(0.5)) == (16, True, False)
    assert spec.dataset == "none"
    assert spec.objective.metric == "val_loss"
    assert list(spec.space.searched) == ["hidden", "lr"]
    assert spec.space.fixed == {"batch": 16}
    again = read_spec(Document.of(spec.to_dict(), "written"), lambda found: Catalog(found.data["task"], (), open=True))
    assert again == spec


@pytest.mark.parametrize(
    ("sections", "rule", "where"),
    [
        ({"metrics": None}, "must list what `train:tune` reports", "metrics"),
        ({"metrics": {"loss": "down"}}, "must maximize or minimize, but `loss` is", "metrics.loss"),
        ({"parameters": {}}, "must have at least one variable", "parameters"),
        ({"parameters": {"training": {"lr": {"type": "float", "low": 0, "high": 1, "default": 2}}}}, "default", "lr"),
        ({"parameters": {"training": {"lr": {"type": "float", "low": 0, "high": 1, "text": ""}}}}, "a key", "lr.text"),
        ({"parameters": {"training": {"lr": None}}}, "must have a value or a mapping", "training.lr"),
        ({"objective": {"metric": "accuracy"}}, "must be a metric of the task", "objective.metric"),
    ],
)
def test_errors_in_the_space_of_a_function_are_named(sections: dict[str, Any], rule: str, where: str) -> None:
    with pytest.raises(InputError, match=rule) as told:
        open_spec(**sections)
    assert told.value.where.endswith(where)


def test_a_class_has_its_own_metrics(make_spec: Any) -> None:
    with pytest.raises(InputError, match="belongs to a function"):
        make_spec(metrics={"val_loss": "minimize"})


def test_a_choice_defaults_to_its_first_value() -> None:
    document = Document.of(
        {**SPACE, "parameters": {"data": {"kind": {"type": "categorical", "choices": ["a", "b"]}}}}, ""
    )
    (kind,) = completed(Catalog("train:tune", (), open=True), document).variables
    assert (kind.default, kind.domain) == ("a", Categorical(("a", "b")))


def test_a_profile_of_a_function_holds_its_catalog() -> None:
    def find(task: str) -> Catalog:
        return Catalog(task, (), open=True)

    profile = Profile("best", open_spec().catalog, "none", CONFIG, (), {})
    written = Document.of(profile.to_dict(), "best.yaml")
    assert read_document(written, find).catalog == profile.catalog
    bare = Document.of({key: value for key, value in profile.to_dict().items() if key != "catalog"}, "best.yaml")
    with pytest.raises(InputError, match="must have its `catalog`"):
        read_document(bare, find)


def test_a_function_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_training.py").write_text("def tune(config, report):\n    report({'loss': 1.0})\n")
    monkeypatch.chdir(tmp_path)
    assert isinstance(load_task("my_training:tune"), FunctionTask)
    with pytest.raises(InputError, match="has no class and no function `tume`") as told:
        load_task("my_training:tume")
    assert "tune" in told.value.hint


class Loader:
    """The name of its `load` does not identify what it loads."""

    def __init__(self, name: str) -> None:
        self.name = name

    def load(self) -> str:
        return self.name


def numbers(count: int) -> list[int]:
    return list(range(count))


def test_shared_data_is_loaded_once_and_rejected_if_its_name_is_ambiguous() -> None:
    size = 3
    found: list[Any] = []

    def sharing(config: Any, report: Report) -> None:
        found.append((report.shared(numbers, 3), report.shared(numbers, 3), report.shared(numbers, 2)))
        model = nn.Linear(1, 1)
        with_default = lambda held=model: held  # noqa: E731
        refused = [(lambda: numbers(size), ()), (numbers, (object(),)), (Loader("a").load, ()), (with_default, ())]
        for load, arguments in refused:
            with pytest.raises(ReportError, match=r"`report.shared` must"):
                report.shared(load, *arguments)
        report({"val_loss": 1.0})

    training_of(sharing, epochs=1).run_epoch()
    (three, again, two) = found[0]
    assert three is again
    loads = (lambda: 1, lambda: 2, lambda n=3: n, lambda n=4: n)
    assert [shared(load, ()) for load in loads] == [1, 2, 3, 4]
    assert shared(math.sqrt, (4.0,)) == 2.0
    assert (three, two) == ([0, 1, 2], [0, 1])


def test_the_key_of_shared_data_is_the_same_in_every_process() -> None:
    code = (
        "from tune_app.tasks import shared_data\n"
        "def load(): return [x in {'train', 'test', 'val'} for x in 'ab']\n"
        "print(shared_data._key(load, ()))"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in "12"
    ]
    assert told[0] == told[1]


def test_a_failing_close_callback_does_not_fail_the_trial(capsys: pytest.CaptureFixture[str]) -> None:
    def closing(config: Any, report: Report) -> None:
        report.close_with(lambda: 1 / 0)
        report({"val_loss": 1.0})

    training = training_of(closing, epochs=1)
    training.run_epoch()
    training.close()
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_wrapper_is_not_mistaken_for_the_function_it_wraps() -> None:
    wrapped = functools.wraps(tune)(lambda config, report: None)
    assert given_function(name_function(wrapped)) is wrapped
    assert given_function(name_function(tune)) is None


def test_folders_of_killed_trials_are_removed(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in (f"{FOLDER}999999999-a", f"{FOLDER}{os.getpid()}-b"):
        (tmp_path / name).mkdir()
    kept: list[set[str]] = []

    def using(config: Any, report: Report) -> None:
        kept.append({path.name for path in tmp_path.iterdir()} | {report.trial_folder.name})
        kept.append({path.name for path in tmp_path.iterdir()})
        report({"val_loss": 1.0})

    training_of(using, epochs=1).run_epoch()
    assert kept[0] - kept[1] == {f"{FOLDER}999999999-a"}
