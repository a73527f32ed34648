"""Results as tables, for notebooks and the command line."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tune_app.errors import InputError, WorkFailed
from tune_app.results.review import best, config_of, load_epochs, load_trials, ranked_trials, summary, trial_row
from tune_app.spaces.spec import Spec
from tune_app.spaces.variable import Categorical, Int, Variable
from tune_app.store.columns import column_types
from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.store.study_writer import StudyWriter
from tune_app.store.trial_row import TrialRow

MakeStudy = Callable[..., Study]
MakeSpec = Callable[..., Spec]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, make_study: MakeStudy, make_spec: MakeSpec) -> Path:
    """Three studies: an ordinary one, one whose objective is minimized, and one in which nothing completed."""
    folder = tmp_path_factory.mktemp("store")
    make_study(folder)
    make_study(folder, make_spec(name="losses", objective={"metric": "val_loss"}))
    make_study(folder, make_spec(name="hopeless"), ends=["FAILED", "PRUNED", "CANCELLED"])
    return folder


MIXED = (
    Variable("width", "architecture", Int(1, 99), 5, "Width."),
    Variable("mirror", "data", Categorical((True, False)), True, "Flip."),
    Variable("cut", "data", Categorical((1, "auto")), "auto", "Cut."),
    Variable("method", "data", Categorical(("a", "b")), "a", "Method."),
)


def ended(number: int, **columns: Any) -> TrialRow:
    times = {"started_at": "2026-01-01T00:00:00+00:00", "ended_at": "2026-01-01T00:00:01+00:00", "duration_s": 1.0}
    facts = {"trial": number, "trial_id": f"t{number}", "state": "COMPLETED", "epochs": 1, "seed": 0, "attempt": 1}
    return TrialRow.from_columns({**facts, **times, **columns})


def write_other(folder: Path, rows: list[dict[str, Any]]) -> Study:
    """A study of a different task, with different columns."""
    study = Study(Store(folder).folder, "other")
    study.folder.write("studies/other/spec.yaml", b"objective: {direction: maximize, metric: auc}\n")
    with StudyWriter(study, study.history(), column_types(MIXED)) as writer:
        for number, row in enumerate(rows):
            writer.trial_started(number, f"t{number}", {}, 0, 1)
            writer.epochs([{"trial": number, "epoch": 1, "ended_at": "2026-01-01T00:00:00+00:00", "metric/auc": 0.5}])
            writer.trial_ended(ended(number, **row))
    return study


def test_one_study(root: Path) -> None:
    trials, epochs = load_trials("digits-small", root), load_epochs("digits-small", root)
    assert trials.columns[0] == epochs.columns[0] == "study"
    assert trials["study"].unique().tolist() == ["digits-small"]
    assert trials["trial"].tolist() == [0, 1, 2, 3, 4]
    assert epochs.groupby("trial")["epoch"].max().to_dict() == {0: 2, 1: 1, 2: 2, 4: 2}
    assert str(trials["trial"].dtype) == "int64", "plain types if no value is missing"
    assert str(trials["model_parameters"].dtype) == "Int64", "integers stay integers even if one is missing"
    assert trials["model_parameters"].sum() == sum(1234567 + n for n in (0, 1, 2, 4))


def test_several_studies_whose_columns_differ(tmp_path: Path, make_study: MakeStudy) -> None:
    make_study(tmp_path)
    write_other(tmp_path, [{"config/architecture/width": 3, "config/data/mirror": False, "objective": 0.5}])
    for names in (["digits-small", "other"], None):
        trials = load_trials(names, tmp_path)
        assert trials["study"].tolist() == ["digits-small"] * 5 + ["other"]
        assert trials.index.tolist() == list(range(6))
        assert trials["config/architecture/width"].isna().tolist() == [True] * 5 + [False]
        assert trials["config/architecture/width"].iloc[5] == 3
        assert str(trials["config/architecture/width"].dtype) == "Int64"
        assert str(trials["config/data/mirror"].dtype) == "boolean"
        assert trials["config/training/optimizer"].isna().tolist() == [False] * 5 + [True]
    epochs = load_epochs(["other", "digits-small"], tmp_path)
    assert epochs["study"].tolist() == ["other"] + ["digits-small"] * 7
    assert epochs["metric/auc"].notna().sum() == 1


def test_a_column_that_is_a_string_in_one_study_and_a_number_in_another(tmp_path: Path, make_study: MakeStudy) -> None:
    make_study(tmp_path)
    study = write_other(tmp_path, [{"objective": 0.5}])
    with StudyWriter(study, study.history(), {"config/training/optimizer": pa.int64()}) as writer:
        writer.trial_started(1, "t1", {}, 0, 1)
        writer.trial_ended(ended(1, state="FAILED", epochs=0, **{"config/training/optimizer": 3}))
    trials = load_trials(None, tmp_path)
    assert trials["config/training/optimizer"].tolist()[-1] == 3
    assert set(trials["config/training/optimizer"][:5]) <= {"sgd", "adamw"}


def test_the_store_of_the_environment(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TUNE_APP_STORE", str(root))
    assert len(load_trials("digits-small")) == 5
    assert best("digits-small")["trial"] == 0
    monkeypatch.delenv("TUNE_APP_STORE")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"there is no study in .*results"):
        load_trials()
    with pytest.raises(InputError, match="there is no study `digits-small`"):
        load_trials("digits-small")


def test_best_and_ranked(root: Path) -> None:
    assert ranked_trials(Store(root).study("digits-small"))["trial"].tolist() == [0, 2, 4, 1, 3]
    winner = best("digits-small", root)
    assert (winner["trial"], winner["state"], winner["objective"]) == (0, "COMPLETED", 0.9)
    assert winner["error"] is None


def test_best_and_ranked_when_minimizing(root: Path) -> None:
    assert ranked_trials(Store(root).study("losses"))["trial"].tolist() == [0, 2, 4, 1, 3]
    assert best("losses", root)["objective"] == 1.0
    assert ranked_trials(Store(root).study("losses"))["objective"].tolist()[:3] == [1.0, 3.0, 5.0]


def test_ties_are_broken_by_number_and_a_pruned_trial_never_wins(tmp_path: Path) -> None:
    states = ["COMPLETED", "PRUNED", "COMPLETED"]
    study = write_other(tmp_path, [{"objective": v, "state": s} for v, s in zip([0.5, 0.9, 0.5], states, strict=True)])
    assert ranked_trials(study)["trial"].tolist() == [0, 2, 1]
    assert best("other", tmp_path)["trial"] == 0


def test_nothing_completed(root: Path) -> None:
    with pytest.raises(WorkFailed, match="no trial of the study `hopeless` completed") as caught:
        best("hopeless", root)
    assert caught.value.exit_code == 1
    assert "tune-app trials hopeless" in caught.value.hint
    assert ranked_trials(Store(root).study("hopeless"))["trial"].tolist() == [1, 2, 0], "pruned, cancelled, failed"


def test_pruned_trials_are_ranked_by_epochs_and_then_by_value(tmp_path: Path) -> None:
    reached = [(1, 0.9), (3, 0.5), (3, 0.7), (5, 0.1)]
    rows = [{"objective": value, "epochs": epochs, "state": "PRUNED"} for epochs, value in reached]
    study = write_other(tmp_path, [*rows, {"objective": 0.3, "epochs": 1, "state": "COMPLETED"}])
    assert ranked_trials(study)["trial"].tolist() == [4, 3, 2, 1, 0]


def test_nothing_ended(tmp_path: Path, make_study: MakeStudy) -> None:
    study = make_study(tmp_path, ends=[])
    assert ranked_trials(study).empty
    assert load_trials("digits-small", tmp_path).empty
    assert load_epochs("digits-small", tmp_path).empty
    assert summary(study)["trials"] == "0/5"
    with pytest.raises(WorkFailed):
        best("digits-small", tmp_path)


def test_trial_row(root: Path) -> None:
    study = Store(root).study("digits-small")
    assert trial_row(study, None)["trial"] == 0
    failed = trial_row(study, 3)
    assert failed["state"] == "FAILED"
    assert failed["objective"] is failed["model_parameters"] is failed["peak_memory_mb"] is None
    for number in (5, -1, 10**30):
        with pytest.raises(InputError, match=f"has no trial {number} that ended") as caught:
            trial_row(study, number)
        assert caught.value.hint == "its trials: 0 to 4"


def test_config_of_gives_plain_values(root: Path, make_spec: MakeSpec) -> None:
    history = Store(root).study("digits-small").history()
    spec = make_spec()
    for number, record in history.trials.items():
        config = config_of(trial_row(Store(root).study("digits-small"), number))
        assert config == record.config
        assert {name: type(value) for name, value in config.items()} == {
            name: type(value) for name, value in record.config.items()
        }
        assert spec.space.validate(config) == config
    assert {type(value) for value in config.values()} == {bool, int, float, str}


def test_config_of_a_row_when_other_rows_lack_the_value(tmp_path: Path, make_study: MakeStudy) -> None:
    make_study(tmp_path)
    full = {"config/architecture/width": 3, "config/data/mirror": False, "config/data/method": "b"}
    study = write_other(tmp_path, [{"objective": 0.4}, {"objective": 0.5, **full, "config/data/cut": 1}])
    expected = {"width": 3, "mirror": False, "cut": "1", "method": "b"}
    config = config_of(trial_row(study, 1))
    assert config == expected
    assert [type(v) for v in config.values()] == [int, bool, str, str]
    assert config_of(trial_row(study, 0)) == {}, "missing values are omitted"
    together = load_trials(None, tmp_path)
    config = config_of(together[(together["study"] == "other") & (together["trial"] == 1)].iloc[0])
    assert config == expected
    assert [type(v) for v in config.values()] == [int, bool, str, str]
    assert config_of(trial_row(study, 1), MIXED) == {**expected, "cut": 1}, "the catalog knows the type"


def test_summary(root: Path, tmp_path: Path, make_study: MakeStudy, make_spec: Any) -> None:
    found = summary(Store(root).study("digits-small"))
    assert found == {
        "study": "digits-small",
        "task": "image_cnn",
        "dataset": "digits",
        "state": "ended",
        "trials": "5/5",
        "completed": 3,
        "pruned": 1,
        "failed": 1,
        "metric": "val_accuracy",
        "best": 0.9,
        "best_trial": 0,
    }
    by_health = make_spec(objective={"metric": "val_accuracy", "mode": "health"})
    healthy = summary(make_study(tmp_path, by_health))
    assert healthy["metric"] == "val_accuracy and health", "what `best` measures"
    hopeless = summary(Store(root).study("hopeless"))
    assert hopeless["best"] is hopeless["best_trial"] is None


def test_a_sweep_that_died_is_not_running(tmp_path: Path, make_study: MakeStudy) -> None:
    study = make_study(tmp_path)
    study.folder.write("studies/digits-small/live.json", b'{"state": "running"}')
    assert summary(study)["state"] == "interrupted"
    with study.writing():
        assert summary(study)["state"] == "running"


def test_nan_is_never_the_best(tmp_path: Path) -> None:
    study = write_other(tmp_path, [{"objective": math.nan}, {"objective": 0.1}])
    assert ranked_trials(study)["trial"].tolist() == [1, 0]
