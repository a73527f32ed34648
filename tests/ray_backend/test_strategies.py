"""Every kind of scheduler, sampler and objective in a real sweep."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tune_app.results.review import front_trials

RANGE = {"type": "float", "low": 0.0, "high": 0.9}


@pytest.mark.parametrize("scheduler", ["hyperband", "median"])
def test_a_scheduler_stops_bad_trials_and_remembers_on_resume(
    scheduler: str, connected: str, run_space: Any, make_space: Any, tmp_path: Path
) -> None:
    document = make_space(budget={"trials": 24, "epochs": 9}, pruning={"scheduler": scheduler, "level": "aggressive"})
    first = run_space(tmp_path, document).trials
    assert set(first["state"]) == {"COMPLETED", "PRUNED"}
    by_state = first.groupby("state")["config/training/level"].mean()
    assert by_state["COMPLETED"] > by_state["PRUNED"]
    # A bad trial after a resume is compared with those before it.
    document["budget"]["trials"] = 26
    second = run_space(tmp_path, document, [{"level": 0.0}, {"level": 0.001}]).trials
    assert second.loc[24:, "state"].tolist() == ["PRUNED"] * 2


@pytest.mark.parametrize("sampler", ["gp", "cma-es", "quasi-random"])
def test_a_sampler_proposes_new_configurations_even_after_a_resume(
    sampler: str, connected: str, run_space: Any, make_space: Any, tmp_path: Path
) -> None:
    parameters = {
        "architecture": {"width": {"type": "int", "low": 1, "high": 64}},
        "training": {"level": RANGE, "pace": {"type": "float", "low": 0.0, "high": 0.001}},
    }
    document = make_space(search={"sampler": sampler}, parameters=parameters, budget={"trials": 14, "epochs": 1})
    first = run_space(tmp_path, document).trials
    document["budget"]["trials"] = 20
    trials = run_space(tmp_path, document).trials
    assert trials.index.tolist() == list(range(20))
    assert set(trials["state"]) == {"COMPLETED"}
    columns = ["config/architecture/width", "config/training/level", "config/training/pace", "objective", "seed"]
    assert trials.loc[:13, columns].equals(first[columns])
    assert trials["config/training/level"].between(0.0, 0.9).all()
    assert trials["config/architecture/width"].between(1, 64).all()
    assert len(trials[columns[:3]].drop_duplicates()) == 20, "a resumed sampler repeats its first proposals"
    proposed = trials["source"].iloc[1:]  # the first one is the task's defaults
    assert trials["source"].iloc[0] == "default"
    assert set(proposed) <= {"model", "random"}
    if sampler == "gp":  # the score is the level plus a constant, which a model learns from a dozen points
        assert trials["config/training/level"].iloc[14:].max() > 0.85


def test_a_grid_tries_every_combination_once_even_across_a_resume(
    connected: str, run_space: Any, make_space: Any, tmp_path: Path
) -> None:
    parameters = {
        "architecture": {"width": {"type": "int", "low": 1, "high": 4}},
        "training": {"level": {"type": "float", "low": 0.0, "high": 0.4, "step": 0.2}},
    }
    document = make_space(search={"sampler": "grid"}, parameters=parameters, budget={"trials": 5, "epochs": 2})
    assert len(run_space(tmp_path, document).trials) == 5
    document["budget"]["trials"] = 100
    trials = run_space(tmp_path, document).trials
    pairs = set(zip(trials["config/architecture/width"], trials["config/training/level"].round(6), strict=True))
    assert len(trials) == len(pairs) == 4 * 3
    assert set(trials["state"]) == {"COMPLETED"}


def test_mode_health_compares_by_the_weighted_mean(
    connected: str, run_space: Any, make_space: Any, tmp_path: Path
) -> None:
    objective = {"mode": "health", "metric": "score", "health_weight": 0.4}
    swept = run_space(tmp_path, make_space(objective=objective, pruning={"level": "normal"}))
    completed = swept.trials[swept.trials["state"] == "COMPLETED"]
    expected = 0.6 * completed["metric/score"] + 0.4 * completed["health/overall"]
    assert completed["objective"].tolist() == pytest.approx(expected.tolist())
    assert swept.outcome.best.objective == completed["objective"].max()


def test_mode_pareto_reports_both_figures_to_optuna_and_finds_the_front(
    connected: str, run_space: Any, make_space: Any, tmp_path: Path
) -> None:
    parameters = {"training": {"level": RANGE, "fault": {"type": "categorical", "choices": ["none", "nan"]}}}
    document = make_space(
        objective={"mode": "pareto", "metric": "score", "against": "health"},
        pruning={"scheduler": "none"},
        search={"sampler": "nsga2"},
        parameters=parameters,
        budget={"trials": 12, "epochs": 4},
    )
    swept = run_space(tmp_path, document)
    trials = swept.trials
    assert {"COMPLETED", "FAILED"} == set(trials["state"])
    path = Path(swept.study.folder.path(f"{swept.study.base}/optuna.journal"))
    study = optuna.load_study(study_name="faulty", storage=JournalStorage(JournalFileBackend(str(path))))
    for trial in study.trials:
        row = trials.loc[trial.user_attrs["trial"]]
        expected = None if row["state"] == "FAILED" else [row["objective"], row["health/overall"]]
        assert trial.values == expected
    assert {t.user_attrs["trial"] for t in study.best_trials} == set(front_trials(swept.study)["trial"])
    document["budget"]["trials"] = 14
    assert len(run_space(tmp_path, document).trials) == 14


def test_a_space_full_of_infeasible_heads(connected: str, run_space: Any, make_space: Any, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("the cat sat on the mat. " * 40)
    document = make_space(
        name="heads",
        task="small_gpt",
        dataset={"kind": "text_file", "path": str(tmp_path / "text.txt")},
        objective={"metric": "val_loss"},
        budget={"trials": 50, "epochs": 1},
        search={"sampler": "tpe"},
        parameters={
            "architecture": {
                "n_head": {"type": "int", "low": 1, "high": 16},
                "n_embd": {"type": "int", "low": 16, "high": 64},
                "n_layer": 1,
                "block_size": 8,
                "position": {"type": "categorical", "choices": ["learned", "rotary"]},
            },
            "training": {"iterations": 1, "batch_size": 2},
            "inference": {"sample_length": 4},
        },
    )
    trials = run_space(tmp_path, document).trials
    heads, width = trials["config/architecture/n_head"], trials["config/architecture/n_embd"]
    assert len(trials) == 50
    assert set(trials["state"]) == {"COMPLETED"}
    assert (width % heads == 0).all()
    rotary = trials["config/architecture/position"] == "rotary"
    assert (width % (2 * heads) == 0)[rotary].all()
    assert heads.nunique() > 8
    assert trials["sample"].str.len().eq(4).all()


def test_a_second_study_starts_from_the_first_ones_results_and_keeps_them(
    connected: str, run_space: Any, make_space: Any, tmp_path: Path
) -> None:
    parameters = {"training": {"level": RANGE}}
    document = make_space(
        name="first", search={"sampler": "auto"}, parameters=parameters, budget={"trials": 18, "epochs": 2}
    )
    first = run_space(tmp_path, document)
    assert first.trials["source"].tolist()[:1] == ["default"]
    assert set(first.trials["source"]) == {"default", "random", "model"}
    document = make_space(
        name="second", search={"sampler": "auto"}, parameters=parameters, budget={"trials": 12, "epochs": 2}
    )
    second = run_space(tmp_path, document)
    sources = second.trials["source"].tolist()
    assert sources[:7] == ["default", *["history"] * 6]
    assert {"history"} != set(sources[7:]) <= {"random", "model"}
    best = first.trials.sort_values("objective")["config/training/level"].tolist()[-1]
    assert second.trials.loc[1, "config/training/level"] == best
    (began_with,) = second.study.json("provenance.json")["history"]
    assert began_with["name"] == "first"
    # Without the store's other studies it continues as it began.
    shutil.rmtree(tmp_path / "studies" / "first")
    document["budget"]["trials"] = 14
    resumed = run_space(tmp_path, document)
    assert resumed.trials["source"].tolist()[:12] == sources
    assert set(resumed.trials["source"][12:]) <= {"random", "model"}
    assert resumed.study.json("provenance.json")["history"] == [began_with]
