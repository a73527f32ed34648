"""A sweep of healthy trials: early stopping, seeds, slots, warm start, what reaches Optuna."""

from __future__ import annotations

import itertools
import json
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tune_app.errors import InputError
from tune_app.ray_backend.controller import SweepController, SweepTrial
from tune_app.spaces.pruning import rungs
from tune_app.spaces.section import Pruning
from tune_app.store.best_layers import read_best_layers
from tune_app.training.health import SCORES
from tune_app.training.seed import derive_seed


@pytest.fixture(scope="module")
def pruned(connected: str, run_space: Any, make_space: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    document = make_space(
        budget={"trials": 30, "epochs": 9},
        pruning={"level": "aggressive"},
        search={"sampler": "tpe", "seed": 3},
        resources={"concurrent": 2},
    )
    return run_space(tmp_path_factory.mktemp("pruned"), document)


def test_stopped_trials_end_at_a_rung_as_pruned_and_the_others_complete(pruned: Any) -> None:
    found, _ = rungs(Pruning(level="aggressive"), 9)
    trials = pruned.trials
    stopped = trials[trials["state"] == "PRUNED"]
    assert len(stopped) >= 10
    assert set(stopped["epochs"]) <= set(found)
    assert set(trials.loc[trials["state"] == "COMPLETED", "epochs"]) == {9}
    assert set(trials["state"]) == {"COMPLETED", "PRUNED"}
    assert len(pruned.epochs) == trials["epochs"].sum()


def test_pruned_trials_reach_optuna_as_pruned_with_all_their_reports(pruned: Any) -> None:
    path = Path(pruned.study.folder.path(f"{pruned.study.base}/optuna.journal"))
    study = optuna.load_study(study_name="faulty", storage=JournalStorage(JournalFileBackend(str(path))))
    epochs = pruned.epochs
    assert len(study.trials) == 30
    for trial in study.trials:
        row = pruned.trials.loc[trial.user_attrs["trial"]]
        expected = TrialState.COMPLETE if row["state"] == "COMPLETED" else TrialState.PRUNED
        assert trial.state == expected
        reports = epochs[epochs["trial"] == row["trial"]].set_index("epoch")["metric/score"].to_dict()
        assert trial.intermediate_values == reports
        assert trial.params == {"level": row["config/training/level"]}
        assert trial.value == row["objective"]


def test_the_best_trial_is_the_best_completed_one(pruned: Any) -> None:
    completed = pruned.trials[pruned.trials["state"] == "COMPLETED"]
    best = pruned.outcome.best
    assert best.objective == completed["objective"].max()
    layers = read_best_layers(pruned.study, best.trial, best.ended_at)
    assert layers is not None
    assert [(layer["type"], layer["parameters"]) for layer in layers] == [("Linear", 4), ("Linear", 3)]
    assert read_best_layers(pruned.study, best.trial + 1, best.ended_at) is None
    assert read_best_layers(pruned.study, best.trial, "2026-01-01T00:00:00+00:00") is None, "from an earlier study"


def test_every_variable_of_every_trial_is_saved(pruned: Any) -> None:
    columns = {c for c in pruned.trials.columns if c.startswith("config/")}
    assert columns == {"config/architecture/width", *[f"config/training/{n}" for n in ("level", "pace", "fault")]}
    assert pruned.trials[sorted(columns)].notna().all().all()


def test_health_of_every_epoch_and_of_every_trial_is_saved(pruned: Any) -> None:
    epochs, trials = pruned.epochs, pruned.trials
    for name in SCORES:
        assert epochs[f"health/{name}"].dtype == trials[f"health/{name}"].dtype == "float64"
    assert epochs["health/neuron_utilization"].between(0.5, 1).all()
    assert epochs["health/training_stability"].isna().all(), "the task has no loss"
    late = epochs["epoch"] >= 4
    assert (epochs.loc[late, "health/accuracy_consistency"] == 1).all()
    assert epochs.loc[~late, "health/accuracy_consistency"].isna().all()
    last = epochs.sort_values("epoch").groupby("trial")["health/overall"].last()
    assert trials["health/overall"].tolist() == last.tolist()


def test_what_is_measured_when_a_training_finishes(pruned: Any) -> None:
    completed = pruned.trials["state"] == "COMPLETED"
    assert (pruned.trials.loc[completed, "latency_ms"] > 0).all()
    levels = pruned.trials.loc[completed, "config/training/level"]
    assert pruned.trials.loc[completed, "sample"].tolist() == [f"level {level:g}" for level in levels]
    assert pruned.trials.loc[~completed, ["latency_ms", "sample"]].isna().all().all()


def test_seeds_come_from_the_sweeps_seed_and_the_trials_number(pruned: Any) -> None:
    assert list(pruned.trials["seed"]) == [derive_seed(3, n) for n in range(30)]


def test_the_finished_study_holds_one_file_per_table(pruned: Any) -> None:
    for path in (pruned.study.trials_path, pruned.study.epochs_path):
        assert [p.name for p in Path(path).iterdir()] == ["data.parquet"]


def test_ended_trials_are_released(
    connected: str, run_space: Any, make_space: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: weakref.WeakSet[SweepTrial] = weakref.WeakSet()
    alive: list[int] = []
    step = SweepController.step

    def counted(controller: SweepController) -> None:
        step(controller)
        made.update(controller.get_trials())
        alive.append(len(made))

    monkeypatch.setattr(SweepController, "step", counted)
    trials = run_space(tmp_path, make_space(budget={"trials": 20, "epochs": 3}, resources={"concurrent": 2})).trials
    assert len(trials) == 20
    assert max(alive) <= 6, "those in two slots, the next ones, and those that Tune still handles"


def test_free_slots_are_always_filled(connected: str, run_space: Any, make_space: Any, tmp_path: Path) -> None:
    document = make_space(budget={"trials": 30, "epochs": 3}, resources={"concurrent": 2})
    document["parameters"]["training"]["pace"] = 0.1
    trials = run_space(tmp_path, document).trials
    changes = sorted([(t, 1) for t in trials["started_at"]] + [(t, -1) for t in trials["ended_at"]])
    running, full, idle, both = 0, 0.0, 0.0, False
    for (moment, change), (following, _) in itertools.pairwise(changes):
        running += change
        both = both or running == 2  # the second worker takes a while to start
        if both and moment < trials["started_at"].max():
            span = (following - moment).total_seconds()
            full, idle = (full + span, idle) if running == 2 else (full, idle + span)
    assert both
    assert running <= 2
    assert idle < 0.15 * (full + idle), f"a slot was free for {idle:.2f} s of {full + idle:.2f} s"


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_constraints_are_met_before_a_trial_starts(
    connected: str, run_space: Any, make_space: Any, tmp_path: Path, sampler: str
) -> None:
    document = make_space(
        budget={"trials": 25, "epochs": 1},
        search={"sampler": sampler},
        parameters={
            "architecture": {"width": {"type": "int", "low": 1, "high": 64}},
            "training": {"level": {"type": "float", "low": 0.0, "high": 0.9}},
        },
        constraints=["width % 16 == 0", "level * 10 < width"],
    )
    trials = run_space(tmp_path, document).trials
    assert set(trials["state"]) == {"COMPLETED"}
    assert len(trials) == 25
    width, level = trials["config/architecture/width"], trials["config/training/level"]
    assert (width % 16 == 0).all()
    assert (level * 10 < width).all()
    assert width.nunique() > 1


def test_a_sweep_starts_with_the_given_configurations_and_a_resumed_one_does_not_repeat_them(
    connected: str, run_space: Any, make_space: Any, tmp_path: Path
) -> None:
    configs = [{"level": 0.123}, {"level": 0.456}]
    run_space(tmp_path, make_space(budget={"trials": 1, "epochs": 1}), configs)
    trials = run_space(tmp_path, make_space(budget={"trials": 4, "epochs": 1})).trials
    assert list(trials["config/training/level"][:2]) == [0.123, 0.456]
    assert trials["config/training/level"].is_unique
    assert (trials["started_at"].to_numpy()[1:] >= trials["ended_at"].to_numpy()[:-1]).all(), "there is one slot"


def test_the_sampler_learns_where_the_good_values_are(pruned: Any) -> None:
    levels = pruned.trials["config/training/level"].to_numpy()
    assert np.mean(levels[20:]) > np.mean(levels[:10])


def test_the_live_state_says_that_the_sweep_ended(pruned: Any) -> None:
    live = pruned.study.json("live.json")
    assert live["state"] == "ended"
    assert live["trials"]["RUNNING"] == 0
    assert sum(live["trials"].values()) == 30
    assert live["best"]["objective"] == pruned.outcome.best.objective


def test_json_is_one_document_on_stdout_and_progress_is_on_stderr(command: Any, space_file: Any) -> None:
    began = time.monotonic()
    process = command("run", space_file(budget={"trials": 3, "epochs": 3}), "--json")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert time.monotonic() - began < 60
    found = json.loads(output)
    assert found["states"] == {"COMPLETED": 3}
    assert found["best"]["state"] == "COMPLETED"
    assert "preflight: smallest" in errors
    assert "forecast: 3 trials" in errors
    assert "first result: trial" in errors


def test_no_cluster_at_the_address_is_reported_without_a_traceback(command: Any, space_file: Any) -> None:
    process = command("run", space_file(), address="127.0.0.1:1")
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, output) == (2, "")
    assert "no Ray cluster answers at `127.0.0.1:1`" in errors
    assert "Traceback" not in errors


def test_a_trial_that_fits_on_no_node_is_rejected(
    connected: str, run_space: Any, make_space: Any, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="1 GPU on") as caught:
        run_space(tmp_path, make_space(resources={"gpus": 1}))
    assert "--gpus 0" in caught.value.hint
