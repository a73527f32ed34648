"""Trials that fail in every way: one sweep of them all, one test per fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

FAULTS = [
    "hang", "hang", "none", "start", "epoch3", "nan", "inf", "missing", "oom", "exit", "exit_once", "unsaveable",
    "latin1", "sys_exit", "interrupt", "cancelled",
]  # fmt: skip
"""The trials' faults in order; the first two hang at the same time, in both slots."""


@pytest.fixture(scope="module")
def swept(connected: str, run_space: Any, make_space: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    configs = [{"fault": fault, "level": 0.1} for fault in FAULTS]
    configs[FAULTS.index("exit_once")]["pace"] = 0.6
    document = make_space(budget={"trials": len(FAULTS) + 1, "epochs": 6, "trial_time": 6}, resources={"concurrent": 2})
    return run_space(tmp_path_factory.mktemp("faults"), document, configs)


@pytest.fixture(scope="module")
def row(swept: Any) -> Callable[[str], Any]:
    return lambda fault: swept.trials.loc[FAULTS.index(fault)]


def test_every_trial_has_one_row(swept: Any) -> None:
    assert list(swept.trials["trial"]) == list(range(len(FAULTS) + 1))
    assert not swept.epochs.duplicated(["trial", "epoch"]).any()


def test_a_healthy_trial_completes_among_the_failing_ones(row: Any) -> None:
    found = row("none")
    assert (found["state"], found["epochs"], found["objective"]) == ("COMPLETED", 6, pytest.approx(0.16))
    assert Path(found["checkpoint"]).is_file()


def test_an_error_at_construction_is_named_with_its_place(row: Any) -> None:
    found = row("start")
    assert (found["state"], found["failure_kind"], found["epochs"]) == ("FAILED", "error", 0)
    assert "ValueError: cannot be built" in found["error"]
    assert "faulty.py" in found["error"]


def test_an_error_at_epoch_3_keeps_the_two_epochs_before(row: Any, swept: Any) -> None:
    found = row("epoch3")
    assert (found["state"], found["failure_kind"], found["epochs"]) == ("FAILED", "error", 2)
    assert "broke at epoch 3" in found["error"]
    assert list(swept.epochs.query(f"trial == {found['trial']}")["epoch"]) == [1, 2]
    log = (swept.study.folder.read(swept.study.log(found["trial"])) or b"").decode()
    assert "Traceback (most recent call last)" in log
    assert log.rstrip().endswith("RuntimeError: broke at epoch 3")


def test_an_error_that_is_not_unicode_is_saved_escaped(row: Any) -> None:
    found = row("latin1")
    assert (found["state"], found["failure_kind"], found["epochs"]) == ("FAILED", "error", 2)
    assert "no image in caf\\udce9.png" in found["error"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [("sys_exit", "sys.exit(4)"), ("interrupt", "KeyboardInterrupt"), ("cancelled", "CancelledError: late")],
)
def test_code_that_would_end_the_process_fails_at_once(row: Any, fault: str, said: str) -> None:
    found = row(fault)
    assert (found["state"], found["failure_kind"], found["attempt"]) == ("FAILED", "error", 1)
    assert said in found["error"]
    assert "faulty.py" in found["error"]


@pytest.mark.parametrize("fault", ["nan", "inf"])
def test_a_metric_that_is_not_finite_ends_the_trial_as_diverged(row: Any, fault: str) -> None:
    found = row(fault)
    assert (found["state"], found["failure_kind"], found["epochs"]) == ("FAILED", "diverged", 2)
    assert "score" in found["error"]


def test_a_missing_metric_is_named_with_what_was_returned(row: Any) -> None:
    found = row("missing")
    assert (found["state"], found["failure_kind"]) == ("FAILED", "error")
    assert "score" in found["error"]
    assert "scores" in found["error"]


def test_out_of_memory_is_not_tried_again(row: Any) -> None:
    found = row("oom")
    assert (found["state"], found["failure_kind"], found["attempt"]) == ("FAILED", "oom", 1)


def test_a_trial_whose_process_always_dies_is_lost_after_three_more_attempts(row: Any) -> None:
    found = row("exit")
    assert (found["state"], found["failure_kind"], found["attempt"]) == ("FAILED", "lost", 4)


def test_a_trial_whose_process_died_once_continues_from_its_checkpoint(row: Any, swept: Any) -> None:
    found = row("exit_once")
    assert (found["state"], found["attempt"], found["epochs"]) == ("COMPLETED", 2, 6)
    last = swept.epochs.query(f"trial == {found['trial']} and epoch == 6").iloc[0]
    assert last["metric/epochs_here"] < 6, "it started over instead of from its checkpoint"


def test_two_trials_that_hang_past_the_limit_are_both_killed(swept: Any) -> None:
    one, other, *_ = swept.trials.to_dict(orient="records")
    for found in (one, other):
        assert (found["state"], found["failure_kind"]) == ("FAILED", "error")
        assert "limit of 6 s" in found["error"]
    assert other["started_at"] < one["ended_at"], "they did not hang at the same time"


def test_a_checkpoint_that_cannot_be_written_fails_its_trial_with_a_message(row: Any) -> None:
    found = row("unsaveable")
    assert (found["state"], found["failure_kind"], found["attempt"]) == ("FAILED", "error", 1)
    assert "pickle" in found["error"].lower()


def test_a_failure_never_wins_and_has_no_objective(swept: Any) -> None:
    failed = swept.trials[swept.trials["state"] == "FAILED"]
    assert len(failed) == 14
    assert failed["objective"].isna().all()
    assert swept.outcome.best.state == "COMPLETED"


def test_optuna_has_the_right_state_of_every_trial(swept: Any) -> None:
    path = Path(swept.study.folder.path(f"{swept.study.base}/optuna.journal"))
    study = optuna.load_study(study_name="faulty", storage=JournalStorage(JournalFileBackend(str(path))))
    found = {trial.number: trial for trial in study.trials}
    assert [found[n].user_attrs["trial"] for n in sorted(found)] == list(range(len(FAULTS) + 1))
    failed = {number for number, fault in enumerate(FAULTS) if fault not in ("none", "exit_once")}
    assert {n for n, trial in found.items() if trial.state == TrialState.FAIL} == failed
    assert all(trial.state.is_finished() for trial in found.values())
    assert found[FAULTS.index("nan")].user_attrs["failure_kind"] == "diverged"
    assert study.best_trial.number == swept.outcome.best.trial


def test_a_worker_that_dies_while_it_takes_a_trial_costs_no_trial(
    connected: str, markers: Path, run_space: Any, make_space: Any, tmp_path: Path
) -> None:
    document = make_space(task="faulty:DiesBetween", budget={"trials": 3, "epochs": 2})
    swept = run_space(tmp_path, document, [{"level": 0.5}, {"level": 0.6}, {"level": 0.7}])
    assert (markers / "died-between").exists()
    assert swept.trials["state"].tolist() == ["COMPLETED"] * 3, swept.trials["error"].tolist()
    assert swept.trials["attempt"].max() <= 2


def test_a_preparation_that_kills_its_process_fails_the_trial(
    connected: str, run_space: Any, make_space: Any, tmp_path: Path
) -> None:
    swept = run_space(tmp_path, make_space(task="faulty:Deadly", budget={"trials": 1, "epochs": 2}))
    (row,) = swept.trials.to_dict(orient="records")
    assert (row["state"], row["failure_kind"]) == ("FAILED", "error")
    assert "the process that prepares the data died in each of 3 attempts" in row["error"]
