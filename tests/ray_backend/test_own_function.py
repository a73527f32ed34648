"""A user's function in real sweeps."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from tune_app.errors import InputError
from tune_app.profiles.profiles import Profiles
from tune_app.results.network.architecture import layers_of
from tune_app.results.network.rebuild import of_trial, rebuild
from tune_app.tasks.content_hash import content_hash

HERE = Path(__file__).parent
SECTIONS: dict[str, Any] = {
    "task": "own_function:tune",
    "metrics": {"score": "maximize", "epochs_here": "maximize"},
    "parameters": {
        "training": {
            "level": {"type": "float", "low": 0.0, "high": 0.9, "default": 0.3},
            "dies": {"type": "categorical", "choices": [False, True]},
        }
    },
}


def test_a_function_is_swept_and_continues_from_its_checkpoint_after_its_process_died(
    connected: str, run_space: Any, make_space: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept = run_space(tmp_path, make_space(**SECTIONS), [{"dies": True}])
    trials = swept.trials
    assert set(trials["state"]) == {"COMPLETED"}
    died = trials.loc[0]
    assert (died["attempt"], died["epochs"]) == (2, 6)
    assert died["metric/epochs_here"] == 6 - died["resumed_from"] < 6
    assert trials.loc[1:, "resumed_from"].isna().all()
    assert died["model_parameters"] == 3
    assert trials["objective"].tolist() == pytest.approx((trials["config/training/level"] + 0.06).tolist())
    assert swept.study.catalog().open
    monkeypatch.chdir(HERE)
    source, checkpoint = of_trial(swept.study, 1), swept.study.folder.read(swept.study.checkpoint(1))
    weights = [rebuild(source, saved).network.weight for saved in (None, checkpoint)]
    assert torch.equal(weights[1], weights[0] + 1 + 1 + 1 + 1 + 1 + 1), "initial weights, and after six epochs"
    assert [layer.parameters for layer in layers_of(source)] == [3]


def test_a_function_that_is_stopped_early_runs_its_finally(
    connected: str, run_space: Any, make_space: Any, tmp_path: Path, markers: Path
) -> None:
    document = make_space(
        **{**SECTIONS, "parameters": {"training": {**SECTIONS["parameters"]["training"], "dies": False}}},
        budget={"trials": 12, "epochs": 9},
        pruning={"level": "aggressive"},
    )
    trials = run_space(tmp_path, document).trials
    pruned = trials[trials["state"] == "PRUNED"]
    assert len(pruned) > 2
    ended = {path.name for path in markers.glob("own-function-0*")}
    levels = trials["config/training/level"].tolist()[:-1]  # a function ends when its worker takes the next trial
    assert {f"own-function-{level:.4f}" for level in levels} <= ended


def test_what_trials_share_is_loaded_once_and_what_they_print_is_in_their_logs(
    connected: str, run_space: Any, make_space: Any, tmp_path: Path, markers: Path
) -> None:
    document = make_space(
        **{**SECTIONS, "task": "own_function:sharing"}, budget={"trials": 4, "epochs": 1}, resources={"concurrent": 2}
    )
    swept = run_space(tmp_path, document)
    trials = swept.trials
    assert trials["objective"].tolist() == [499500.0] * 4, trials["error"]
    for number, level in trials["config/training/level"].items():
        printed = swept.study.folder.read(swept.study.log(number))
        expected = f"begins with {level}\nlogged {level}\n".encode() + b"caf\xe9\n"
        assert printed == expected, "each trial's output must be in its own log"
    (loader,) = (markers / "own-function-loads").read_text().split()
    workers = set(trials["metric/epochs_here"].astype(int))
    assert int(loader) not in workers
    known = swept.study.json("provenance.json")
    assert known["shared_sha256"] == {"own_function:load_rows(1000)": content_hash(np.arange(1000))}
    assert known["study"] == "faulty"
    deadline = time.monotonic() + 10
    while {int(path.name.rpartition("-")[2]) for path in markers.glob("own-function-left-*")} != workers:
        assert time.monotonic() < deadline, "what a function registers with atexit was not called"
        time.sleep(0.05)


def test_a_node_without_a_package_is_reported_before_the_first_trial(
    connected: str, run_space: Any, make_space: Any, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"the node 127.0.0.1 must .* but `nothing-of-this-name` is not installed"):
        run_space(tmp_path, make_space(**SECTIONS, requirements=["numpy", "nothing-of-this-name"]))
    assert not (tmp_path / "studies" / "faulty" / "spec.yaml").exists()


def test_a_time_limit_does_not_count_what_torch_imports_for_the_first_optimizer(
    connected: str, run_space: Any, make_space: Any, tmp_path: Path
) -> None:
    budget = {"trials": 2, "epochs": 1, "trial_time": 60}
    swept = run_space(tmp_path, make_space(**{**SECTIONS, "task": "own_function:optimizing"}, budget=budget))
    assert swept.trials["metric/score"].tolist() == [0.0, 0.0]


def test_too_few_reports_fail_the_trial_with_its_functions_name(
    connected: str, run_space: Any, make_space: Any, tmp_path: Path
) -> None:
    document = make_space(**{**SECTIONS, "task": "own_function:silent"}, budget={"trials": 1, "epochs": 3})
    (row,) = run_space(tmp_path, document).trials.to_dict("records")
    assert (row["state"], row["failure_kind"]) == ("FAILED", "error")
    assert "`own_function:silent` must report 3 epochs, but returned after 1" in row["error"]


def test_the_command_line_takes_a_function_to_a_profile_and_a_training(
    node: str, make_space: Any, tmp_path: Path
) -> None:
    space = tmp_path / "space.yaml"
    document = {key: held for key, held in make_space(**SECTIONS).items() if key != "dataset"}
    space.write_text(yaml.safe_dump({**document, "name": "own", "budget": {"trials": 3, "epochs": 2}}))
    places = ["--store", str(tmp_path / "results"), "--profiles", str(tmp_path / "profiles")]

    def ran(*arguments: str) -> str:
        command = [sys.executable, "-m", "tune_app", *arguments, *places]
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    said = ran("run", str(space), "--set", "training.dies=false", "--address", node)
    assert "3 completed" in said
    assert "profile save" in said
    ran("profile", "save", "best", "--trial", "own", "--set", "training.level=0.5")
    assert Profiles(tmp_path / "profiles").load("best").config["level"] == 0.5
    assert "test_score                  1" in ran("train", "best", "--epochs", "2")
