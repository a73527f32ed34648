"""Warm start: what profiles and studies contribute to another space, and what is rejected because it does not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tune_app.errors import InputError
from tune_app.folder import Folder
from tune_app.profiles.profile import Profile
from tune_app.profiles.profiles import Profiles
from tune_app.profiles.warm_start import starting_configs
from tune_app.results.review import config_of, trial_row
from tune_app.spaces.spec import Spec
from tune_app.spaces.variable import Config
from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.tasks import load_task
from tune_app.tasks.catalogs import load_catalog

MakeStudy = Callable[..., Study]
MakeSpec = Callable[..., Spec]
DEFAULTS: Config = {v.name: v.default for v in load_task("image_cnn").variables}
FEW = {"architecture": {"filters": {"type": "int", "low": 2, "high": 4}}, "training": {"batch_size": 300}}


@pytest.fixture
def study(tmp_path: Path, make_study: MakeStudy) -> Study:
    return make_study(tmp_path / "store")


@pytest.fixture
def profiles(tmp_path: Path) -> str:
    kept = Profiles(tmp_path / "profiles")
    kept.save(Profile("mine", load_catalog("image_cnn"), "digits", {**DEFAULTS, "filters": 3}), loaded_revision=0)
    kept.save(Profile("wide", load_catalog("image_cnn"), "digits", {**DEFAULTS, "filters": 64}), loaded_revision=0)
    return str(kept.folder)


def few(make_spec: MakeSpec, names: list[str], parameters: dict[str, Any] = FEW, **sections: Any) -> Spec:
    return make_spec(search={"start_from": names}, parameters=parameters, **{"constraints": [], **sections})


def test_from_a_profile(study: Study, profiles: str, make_spec: MakeSpec) -> None:
    (config,) = starting_configs(few(make_spec, ["mine"]), study.folder, Profiles(profiles))
    assert config == {**DEFAULTS, "filters": 3, "batch_size": 300, "epochs": 2}, "what the space fixes stays fixed"


def test_from_an_example_that_ships(study: Study, profiles: str, make_spec: MakeSpec) -> None:
    wide = {"architecture": {"filters": {"type": "int", "low": 2, "high": 64}}, "training": {"batch_size": 300}}
    (config,) = starting_configs(few(make_spec, ["digits-example"], wide), study.folder, Profiles(profiles))
    assert config == {**DEFAULTS, "batch_size": 300, "epochs": 2}


def test_from_the_best_of_a_study(study: Study, profiles: str, make_spec: MakeSpec) -> None:
    configs = starting_configs(make_spec(search={"start_from": ["digits-small"]}), study.folder, Profiles(profiles))
    assert configs == [config_of(trial_row(study, number)) for number in (0, 2, 4)], "best first, completed only"


def test_configurations_are_in_order_and_unique(study: Study, profiles: str, make_spec: MakeSpec) -> None:
    names = ["mine", "digits-small", "mine"]
    configs = starting_configs(few(make_spec, names), study.folder, Profiles(profiles))
    filters = [config["filters"] for config in configs]
    assert filters[0] == 3
    assert sorted(filters) == sorted(set(filters)), "trials that differ only in what is fixed here count once"
    assert 4 in filters or 2 in filters
    assert all(config["batch_size"] == 300 for config in configs)


def test_outside_the_range_or_a_constraint(study: Study, profiles: str, make_spec: MakeSpec) -> None:
    for spec in (few(make_spec, ["wide"]), few(make_spec, ["mine"], constraints=["filters % 2 == 0"])):
        with pytest.raises(InputError, match="has no configuration within the space digits-small") as caught:
            starting_configs(spec, study.folder, Profiles(profiles))
        assert caught.value.where == "search.start_from"


def test_an_unknown_name(study: Study, profiles: str, make_spec: MakeSpec) -> None:
    for name, hint in [("mien", "`mine`"), ("digits-smal", "`digits-small`"), ("../mine", "Valid:")]:
        with pytest.raises(InputError, match="must list profiles or studies") as caught:
            starting_configs(few(make_spec, [name]), study.folder, Profiles(profiles))
        assert hint in caught.value.hint


def test_a_study_in_which_nothing_completed(
    tmp_path: Path, profiles: str, make_study: MakeStudy, make_spec: MakeSpec
) -> None:
    folder: Folder = make_study(tmp_path / "other", ends=["FAILED", "PRUNED"]).folder
    with pytest.raises(InputError, match="`digits-small` has no configuration"):
        starting_configs(few(make_spec, ["digits-small"]), folder, Profiles(profiles))


def test_nothing_to_start_from(tmp_path: Path, make_spec: MakeSpec) -> None:
    folder = Store(tmp_path / "none").folder
    assert starting_configs(few(make_spec, []), folder, Profiles(tmp_path / "none")) == []


def test_another_tasks_variables_with_the_same_names(make_spec: MakeSpec) -> None:
    space = make_spec().space
    fits: Config = {**DEFAULTS, "filters": 2, "conv_layers": 1}
    assert space.fitted(fits) == {**fits, "batch_size": 500, "epochs": 2}
    others: list[Config] = [
        {"optimizer": "lion"},
        {"filters": "many"},
        {"learning_rate": "fast"},
        {"batch_norm": 1},
        {"conv_layers": 1.5},
    ]
    for other in others:
        assert space.fitted({**fits, **other}) is None
    assert space.fitted({n: v for n, v in fits.items() if n != "filters"}) is None, "a searched variable is missing"
    assert space.fitted({"filters": 2, "unknown": 1}) is None


def test_a_value_that_has_no_effect_here(make_spec: MakeSpec) -> None:
    parameters = {
        "training": {
            "optimizer": {"type": "categorical", "choices": ["sgd", "adamw"]},
            "momentum": {"type": "float", "low": 0.1, "high": 0.2},
        }
    }
    space = make_spec(parameters=parameters, constraints=[]).space
    config = space.fitted({**DEFAULTS, "optimizer": "adamw", "momentum": 0.15})
    assert config is not None
    assert config["momentum"] == 0.9, "momentum is off with adamw, so it has the default"
    assert space.fitted({**DEFAULTS, "optimizer": "sgd", "momentum": 0.9}) is None
