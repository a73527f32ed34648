"""Trials on two devices each: their results, how their ranks die, and that they leave nothing behind."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from tune_app.errors import InputError
from tune_app.ray_backend.slots import Slots
from tune_app.spaces.section import Resources
from tune_app.tasks import load_task
from tune_app.training.trial import Training

CONFIGS: dict[str, dict[str, Any]] = {
    "good": {"rate": 0.2},
    "better": {"rate": 0.25},
    "diverges": {"rate": 0.3, "fault": "diverges"},
    "bad": {"rate": 0.01},
    "after a divergence": {"rate": 0.35},
    "raises": {"rate": 0.4, "fault": "raises"},
    "killed_once": {"rate": 0.45, "fault": "killed_once"},
}
"""The trials' configurations in order; compared with those before it, each but the bad one may continue."""
TRAINING = {name: {"type": "float", "low": 0.0, "high": 1.0} for name in ("rate",)}


@pytest.fixture(scope="module", autouse=True)
def _tasks_of_this_folder() -> Any:
    sys.path.append(str(Path(__file__).parent))
    yield
    sys.path.remove(str(Path(__file__).parent))


@pytest.fixture(scope="module")
def parallel(make_space: Any) -> Callable[..., dict[str, Any]]:
    return lambda **sections: make_space(
        **{
            "task": "parallel:Parallel",
            "name": "parallel",
            "resources": {"devices": 2},
            "parameters": {"training": TRAINING},
            **sections,
        }
    )


@pytest.fixture(scope="module")
def swept(connected: str, run_space: Any, parallel: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    document = parallel(budget={"trials": len(CONFIGS), "epochs": 6}, pruning={"level": "aggressive"})
    return run_space(tmp_path_factory.mktemp("parallel"), document, list(CONFIGS.values()))


@pytest.fixture(scope="module")
def row(swept: Any) -> Callable[[str], Any]:
    return lambda name: swept.trials.loc[list(CONFIGS).index(name)]


def alone(found: Any, epochs: int = 6) -> Training:
    """Train a trial's configuration in this process."""
    task = load_task("parallel:Parallel")
    config = {name: found[f"config/training/{name}"] for name in ("rate", "pace", "fault", "number")}
    training = Training(task, config, task.load_data("none"), epochs=epochs, seed=int(found["seed"]))
    while not training.finished:
        training.run_epoch()
    return training


def pids(markers: Path) -> set[int]:
    return {int(path.name.removeprefix("rank-")) for path in markers.glob("rank-*")}


def running(found: set[int]) -> set[int]:
    return {pid for pid in found if Path(f"/proc/{pid}").exists() and pid != os.getpid()}


def assert_all_freed(markers: Path) -> None:
    """Check that the sweep's trials have freed everything: processes, placement groups, CPUs."""
    deadline = time.monotonic() + 10
    while running(pids(markers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert running(pids(markers)) == set()
    assert {group["state"] for group in ray.util.placement_group_table().values()} <= {"REMOVED"}
    while ray.available_resources().get("CPU") != 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert ray.available_resources()["CPU"] == 2


@pytest.mark.parametrize("name", ["good", "better", "after a divergence", "killed_once"])
def test_two_devices_give_the_same_result_as_one(row: Any, name: str) -> None:
    found = row(name)
    assert (found["state"], found["epochs"]) == ("COMPLETED", 6)
    expected = alone(found)
    assert found["metric/score"] == pytest.approx(expected.history[-1].metrics["score"], abs=1e-5)
    restored = Training(expected.task, expected.config, expected.task.load_data("none"), epochs=6, seed=expected.seed)
    restored.restore(found["checkpoint"])
    assert restored.state.model.weight.item() == found["metric/score"]


def test_a_trial_that_does_badly_is_pruned_and_its_ranks_take_the_next(row: Any) -> None:
    assert row("bad")["state"] == "PRUNED"
    assert row("good")["metric/pid"] == row("bad")["metric/pid"] == row("after a divergence")["metric/pid"]


def test_the_first_rank_reports_a_divergence_and_no_process_dies(row: Any) -> None:
    assert (row("diverges")["state"], row("diverges")["failure_kind"]) == ("FAILED", "diverged")
    assert row("diverges")["model_parameters"] == 1


def test_what_another_rank_raises_is_the_trials_failure(row: Any) -> None:
    found = row("raises")
    assert (found["state"], found["failure_kind"], found["epochs"]) == ("FAILED", "error", 2)
    assert "ValueError: the second rank raised" in found["error"]
    assert "parallel.py" in found["error"]


def test_a_trial_whose_rank_died_is_run_again_by_new_ranks(row: Any) -> None:
    assert row("killed_once")["attempt"] == 2
    assert row("killed_once")["metric/pid"] != row("good")["metric/pid"]


def test_a_sweep_leaves_nothing_behind(swept: Any, markers: Path) -> None:
    assert len(pids(markers)) >= 6, "the task leaves a marker for each of its processes"
    assert_all_freed(markers)


def test_ctrl_c_twice_ends_all_ranks(
    connected: str, run_space: Any, parallel: Any, markers: Path, tmp_path: Path
) -> None:
    before = pids(markers)

    def interrupt() -> None:
        while len(pids(markers) - before) < 2:
            time.sleep(0.1)
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.3)

    thread = threading.Thread(target=interrupt)
    thread.start()
    document = parallel(budget={"trials": 2, "epochs": 6})
    found = run_space(tmp_path, document, [{"rate": 0.1, "pace": 50.0}])
    thread.join()
    assert found.outcome.reason == "interrupt"
    assert found.trials["state"].tolist() == ["CANCELLED"]
    assert_all_freed(markers)


def test_slots_count_all_devices_of_a_trial(connected: str) -> None:
    assert Slots(Resources(devices=2)).count == 1
    assert Slots(Resources(cpus=0.5, devices=2)).count == 2
    assert Slots(Resources(cpus=0.5, devices=2, concurrent=1)).count == 1
    with pytest.raises(InputError, match="each of a trial's 3 devices needs 1 CPU and"):
        Slots(Resources(devices=3))
