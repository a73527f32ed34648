"""Several devices learn the same as one: two processes with gloo are compared with a single one."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from tune_app.tasks import TASKS, load_task, replica
from tune_app.tasks.task import DataParallel

SCRIPT = Path(__file__).with_name("ranks.py")


def load_script() -> ModuleType:
    specification = importlib.util.spec_from_file_location("ranks", SCRIPT)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


RANKS = load_script()
EXACT = [name for name in RANKS.CASES if "dropout" not in name and "bf16" not in name]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The results of each of two ranks, by case."""
    folder = tmp_path_factory.mktemp("ranks")
    outputs = [folder / f"{rank}.json" for rank in range(2)]
    processes = [
        subprocess.Popen([sys.executable, SCRIPT, folder / "port", str(rank), "2", output])
        for rank, output in enumerate(outputs)
    ]
    assert [process.wait(120) for process in processes] == [0, 0]
    return [json.loads(output.read_text()) for output in outputs]


@pytest.mark.parametrize("name", EXACT)
def test_two_devices_learn_the_same_as_one(two: list[dict[str, Any]], name: str) -> None:
    alone, leader = RANKS.run(name), two[0][name]
    assert len(alone["metrics"]) == RANKS.EPOCHS
    for mine, theirs in zip(alone["metrics"], leader["metrics"], strict=True):
        losses = [metric for metric in mine if metric.endswith("loss")]
        assert len(losses) == 2
        assert {m: theirs[m] for m in losses} == pytest.approx({m: mine[m] for m in losses}, abs=1e-5)
        assert theirs == pytest.approx(mine, abs=0.05)
    assert leader["weights"] == pytest.approx(alone["weights"], rel=1e-5)
    assert leader["random"] == alone["random"], "later epochs would draw different batches"


def test_bf16_agrees_within_its_precision(two: list[dict[str, Any]]) -> None:
    alone, leader = RANKS.run("images, bf16"), two[0]["images, bf16"]
    for mine, theirs in zip(alone["metrics"], leader["metrics"], strict=True):
        assert theirs["train_loss"] == pytest.approx(mine["train_loss"], abs=5e-3)


@pytest.mark.parametrize("name", RANKS.CASES)
def test_the_ranks_hold_the_same_weights_and_draw_the_same_batches(two: list[dict[str, Any]], name: str) -> None:
    leader, other = two[0][name], two[1][name]
    assert leader["weights"] == other["weights"]
    assert leader["random"] == other["random"]
    assert other["metrics"] == [], "only the first rank validates"


@pytest.mark.parametrize("name", RANKS.CASES)
def test_a_checkpoint_is_the_same_for_any_number_of_devices(two: list[dict[str, Any]], name: str) -> None:
    assert two[0][name]["keys"] == list(RANKS.start(name).state.model.state_dict())


def test_in_a_single_process_everything_is_unchanged() -> None:
    batch, model = torch.arange(3.0), nn.Linear(1, 1)
    assert replica.leads()
    assert not replica.in_group()
    assert replica.part_of(batch) is batch
    assert replica.weigh(batch, 3, 3) is batch
    assert replica.mean(batch) is batch
    assert replica.wrap(model) is model
    torch.manual_seed(0)
    with replica.own_randomness(torch.device("cpu"), 1):
        drawn = torch.rand(2)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(2))


def test_in_a_single_process_batch_normalization_is_torchs() -> None:
    ours, torchs, values = replica.BatchNorm2d(3), nn.BatchNorm2d(3), torch.randn(4, 3, 5, 5)
    assert torch.equal(ours(values), torchs(values))
    assert list(ours.state_dict()) == list(torchs.state_dict())


@pytest.mark.parametrize("name", TASKS)
def test_our_tasks_declare_data_parallelism(name: str) -> None:
    task = load_task(name)
    assert isinstance(task, DataParallel)
    assert task.data_parallel
