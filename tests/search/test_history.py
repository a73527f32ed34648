"""What a new study starts from: which past studies, what they propose, and that a misleading one costs little."""

from __future__ import annotations

import json
import statistics
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import MakeStudy, small_spec
from tune_app.errors import InputError
from tune_app.search.history import (
    MOST_STUDIES,
    _config,
    _is_same_task,
    find_history,
    keep_history,
    kept_history,
    make_portfolio,
    shipped,
)
from tune_app.search.past_study import PastPreference, PastStudy
from tune_app.search.samplers import make_sampler
from tune_app.search.schedule import make_scheduler
from tune_app.search.study_search import StudySearch
from tune_app.spaces.pruning import rungs
from tune_app.spaces.script import Script
from tune_app.spaces.script_report import ScriptReport
from tune_app.spaces.section import Pruning
from tune_app.spaces.spec import Spec
from tune_app.spaces.variable import Categorical, Config, Float
from tune_app.store.study import Study
from tune_app.sweep.replay import Curve, replay
from tune_app.tasks import TASKS
from tune_app.tasks.spec_file import load_spec

from .test_auto_sampler import LOSS, loss_of, space_of
from .test_past_study import studied

ROOT = Path(__file__).parents[2]


REPORT = ScriptReport("stdout", "(?P<val_loss>.)")
ENDS = ("COMPLETED", "PRUNED", "PRUNED") * 4


def spec_with(history: Any) -> Spec:
    return small_spec(name="new", search={"history": history})


@pytest.fixture
def past(tmp_path: Path, make_study: MakeStudy) -> list[Study]:
    """Studies of the task, the oldest one first: one more than the limit."""
    studies = [make_study(tmp_path, small_spec(name=f"past-{n}"), ENDS) for n in range(MOST_STUDIES + 1)]
    for hour, study in enumerate(studies):
        content = json.dumps({"state": "ended", "at": f"2026-01-01T{hour:02}:00:00+00:00"})
        study.folder.write(f"{study.base}/live.json", content.encode())
    return studies


def test_the_newest_studies_of_the_task_come_first(past: list[Study]) -> None:
    found = find_history(spec_with("auto"), past[0].folder)
    names = [one.name for one in found.studies]
    assert names == [*(study.name for study in past[:0:-1]), "tune-app:digits_cnn"]
    assert not found.left_out


def test_another_command_is_another_task() -> None:
    spec = small_spec(name="new")
    catalog = replace(spec.catalog, task="script", script=Script(("python", "a.py"), REPORT))
    script = replace(spec, task="script", catalog=catalog)
    assert _is_same_task(script.catalog.to_dict(), script)
    assert _is_same_task(spec.catalog.to_dict(), spec)
    other = Script(("python", "b.py"), REPORT)
    assert not _is_same_task(replace(script.catalog, script=other).to_dict(), script)


def test_unhelpful_studies_are_left_out(past: list[Study], tmp_path: Path, make_study: MakeStudy) -> None:
    make_study(tmp_path, small_spec(name="few"), ENDS[:7])
    failed = make_study(tmp_path, small_spec(name="failed"), ["FAILED"] * 12)
    catalog = {**past[4].json("catalog.json"), "task": "text_lstm"}
    past[4].folder.write(f"{past[4].base}/catalog.json", json.dumps(catalog).encode())
    damaged = past[3].folder.root / "trials" / "study=past-3" / "data.parquet"  # type: ignore[attr-defined]
    damaged.write_bytes(b"PAR1 no table")
    with past[2].writing():
        found = find_history(spec_with("auto"), failed.folder)
    assert [one.name for one in found.studies] == ["past-1", "past-0", "tune-app:digits_cnn"]
    assert list(found.left_out) == ["past-3"]
    assert "must be a Parquet file" in found.left_out["past-3"]


def test_a_damaged_study_of_any_task_is_left_out(past: list[Study]) -> None:
    past[0].folder.write(f"{past[0].base}/catalog.json", b"{")
    found = find_history(spec_with("auto"), past[0].folder)
    assert "past-0" not in [one.name for one in found.studies]
    assert list(found.left_out) == ["past-0"]


def test_a_study_in_which_no_searched_variable_varied_is_left_out(past: list[Study]) -> None:
    document = small_spec().to_dict()
    document["parameters"] = {"training": {"warmup_epochs": {"type": "float", "low": 0.0, "high": 1.0}}}
    spec = small_spec(name="new", parameters=document["parameters"], constraints=[])
    assert [one.name for one in find_history(spec, past[0].folder).studies] == ["tune-app:digits_cnn"]


def test_values_outside_a_narrower_space_are_unchanged() -> None:
    former = Categorical((16, 32, "auto"))
    row = {"config/training/batch": "16", "config/training/lr": 0.5}
    space = space_of(batch=Categorical((32, "auto")), lr=Float(1e-3, 0.1))
    variables = {v.name: v for v in space_of(batch=former, lr=Float(1e-4, 1.0)).variables}
    assert _config(row, variables, space) == {"batch": 16, "lr": 0.5}


def test_none_and_other_samplers_start_without_history(past: list[Study]) -> None:
    assert find_history(spec_with("none"), past[0].folder).studies == ()
    random = small_spec(name="new", search={"sampler": "random"})
    assert find_history(random, past[0].folder).studies == ()


def test_only_named_studies_are_used(past: list[Study]) -> None:
    found = find_history(spec_with(["past-0", "past-2"]), past[0].folder)
    assert [one.name for one in found.studies] == ["past-0", "past-2"]
    best = found.studies[0]
    rows = past[0].table("trials").to_pylist()
    assert best.configs[0] == {v.name: rows[0][v.column] for v in small_spec().space.variables}


@pytest.mark.parametrize(
    ("name", "rule", "hint"),
    [("past-9", "must list studies in the store", "past-0"), ("few", "at least 8 trials", "omit it")],
)
def test_a_named_study_that_cannot_be_used_is_an_error(
    past: list[Study], tmp_path: Path, make_study: MakeStudy, name: str, rule: str, hint: str
) -> None:
    make_study(tmp_path, small_spec(name="few"), ENDS[:7])
    with pytest.raises(InputError, match=rule) as told:
        find_history(spec_with([name]), past[0].folder)
    assert told.value.where == "search.history"
    assert hint in str(told.value.hint)


def test_a_named_study_that_is_running_is_an_error(past: list[Study]) -> None:
    with past[0].writing(), pytest.raises(InputError, match="finished studies, but `past-0` is running"):
        find_history(spec_with(["past-0"]), past[0].folder)


def test_history_is_rejected_if_the_sampler_does_not_learn_from_it() -> None:
    with pytest.raises(InputError, match=r"unless the sampler learns from it.* with the sampler tpe"):
        small_spec(search={"history": ["past-0"], "sampler": "tpe"})
    with pytest.raises(InputError, match="must be auto, none, or a list of studies"):
        small_spec(search={"history": "past-0"})


def test_a_study_keeps_its_initial_history(past: list[Study]) -> None:
    found = find_history(spec_with("auto"), past[0].folder).studies
    assert kept_history(past[0]) == ()
    keep_history(past[0], found)
    assert kept_history(past[0]) == found


@pytest.mark.parametrize("name", ["digits_cnn", "stdlib_docs_lstm", "python_reference_gpt"])
def test_each_of_our_tasks_ships_a_history(name: str) -> None:
    spec = load_spec(ROOT / "search_spaces" / f"{name}.yaml")
    assert spec.task in TASKS
    (one,) = shipped(spec)
    proposed = make_portfolio(spec.space, [PastPreference.fit(one, spec.space)])
    assert len(proposed) == 8
    assert all(spec.space.fitted(config) == config for config in proposed)
    assert len({tuple(config.values()) for config in proposed}) == 8


def test_a_portfolio_has_the_favorites_of_each_past_study() -> None:
    """If two studies prefer opposite ends of a range, both ends are among the first configurations."""
    space, trials = space_of(), studied(60)
    small = [(c, np.array([-float(c["rate"])])) for c, _ in trials]
    large = [(c, np.array([float(c["rate"])])) for c, _ in trials]
    pasts = [PastStudy.of("a", small), PastStudy.of("b", large)]
    proposed = make_portfolio(space, [PastPreference.fit(one, space) for one in pasts if one is not None], size=2)
    rates = sorted(float(config["rate"]) for config in proposed)
    assert rates[0] < 1e-3
    assert rates[1] > 1e-1
    assert make_portfolio(space, []) == []


class Losses:
    """Curves that fall to `loss_of` plus `LEAST`, with noise that depends only on the configuration."""

    LEAST = 0.2

    def curve(self, config: Config) -> Curve:
        loss = self.LEAST + loss_of(config)
        noise = np.random.default_rng(zlib.crc32(repr(config).encode())).normal(0, 0.02, 9)
        return Curve(loss + 1 / np.arange(1, 10) + noise, np.arange(1.0, 10), loss)


def found_with(trials: list[tuple[Config, np.ndarray]] | None, seed: int, count: int) -> float:
    """The best loss in a sweep of `count` trials that learns from a past study with `trials`."""
    space = space_of()
    one = None if trials is None else PastStudy.of("a", trials)
    past = [] if one is None else [PastPreference.fit(one, space)]
    sampler = make_sampler("auto", space, seed, count, 9, past=past)
    outcome = replay(
        StudySearch(space, LOSS, sampler),
        make_scheduler(Pruning(), "minimize", 9),
        LOSS,
        Losses(),
        rungs(Pruning(), 9)[0],
        workers=4,
        budget=10_000,
        trials=count,
        first=make_portfolio(space, past),
    )
    found = outcome.truth_at(np.inf)
    assert found is not None
    return found


def test_history_helps_within_a_few_trials() -> None:
    cold = [found_with(None, seed, 12) for seed in range(9)]
    warm = [found_with(studied(100, seed + 100), seed, 12) for seed in range(9)]
    assert statistics.median(warm) < 0.9 * statistics.median(cold)


def test_a_misleading_history_costs_little() -> None:
    cold, misled = [], []
    for seed in range(15):
        trials = studied(100, seed + 100)
        order = np.random.default_rng(seed).permutation(len(trials))
        shuffled = [(trials[n][0], trials[m][1]) for n, m in enumerate(order)]
        cold.append(found_with(None, seed, 60))
        misled.append(found_with(shuffled, seed, 60))
    assert statistics.median(misled) <= 1.1 * statistics.median(cold)
