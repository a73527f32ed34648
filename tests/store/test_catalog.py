"""The catalog that a study stores, and studies from before it existed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tune_app.errors import InputError
from tune_app.results.review import best
from tune_app.spaces.catalog import Catalog
from tune_app.spaces.variable import Categorical, Float, Int, Variable
from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.tasks.catalogs import load_catalog

OLD_STORE = Path(__file__).parents[1] / "fixtures" / "store_v1"
SHOWS = """
import sys
from tune_app.profiles.draft import Draft
from tune_app.profiles.profile import from_trial
from tune_app.profiles.profiles import Profiles
from tune_app.results.report import study_report
from tune_app.results.review import ranked_trials, summary, trial_row
from tune_app.store.store import Store

study = Store(sys.argv[1]).study("digits-small")
summary(study), ranked_trials(study), study.spec(), study_report(study)
profiles = Profiles(sys.argv[2], may_import=lambda task: False)
draft = Draft.of(from_trial(study, trial_row(study, None), "winner"), study.spec().space)
profiles.save(draft.profile("winner"), loaded_revision=0)
heavy = {"torch", "ray", "gone_away", "tune_app.tasks.image_cnn"}
print(profiles.load("winner").task, sorted(heavy & set(sys.modules)))
"""


def old_study(tmp_path: Path, task: str) -> Study:
    shutil.copytree(OLD_STORE, tmp_path / "results")
    spec = tmp_path / "results" / "studies" / "digits-small" / "spec.yaml"
    spec.write_text(spec.read_text().replace("task: image_cnn", f"task: {task}"))
    return Store(tmp_path / "results").study("digits-small")


def shown(tmp_path: Path) -> str:
    command = [sys.executable, "-c", SHOWS, str(tmp_path / "results"), str(tmp_path / "profiles")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_catalog_round_trips() -> None:
    catalog = Catalog(
        task="mine:Task",
        variables=(
            Variable("rate", "training", Float(1e-4, 1.0, log=True), 0.1, "Rate."),
            Variable("width", "architecture", Int(2, 8, step=2), 4, "Width.", when="rate < 0.5"),
            Variable("part", "data", Categorical(("a", 2, True)), "a", "Part.", searchable=False),
        ),
        constraints=("width < 8",),
        metrics={"loss": "minimize", "seen": None},
        data_parallel=True,
    )
    assert Catalog.from_dict(json.loads(json.dumps(catalog.to_dict()))) == catalog


@pytest.mark.parametrize(
    "damage",
    [{"schema_version": 2}, {"variables": [{"name": "x"}]}, {"metrics": {"loss": "down"}}, {"metrics": None}],
)
def test_a_damaged_catalog_is_rejected_with_a_clear_message(damage: dict[str, Any]) -> None:
    document = load_catalog("image_cnn").to_dict() | damage
    with pytest.raises(InputError, match="catalog") as caught:
        Catalog.from_dict(document, "catalog.json")
    assert caught.value.where == "catalog.json"


def test_results_need_neither_a_task_nor_torch(tmp_path: Path, make_study: Any) -> None:
    make_study(tmp_path / "results")
    assert shown(tmp_path) == "image_cnn []"


def test_a_task_that_is_gone_is_not_needed(tmp_path: Path, make_study: Any) -> None:
    study = make_study(tmp_path / "results")
    base = Path(study.folder.path(study.base))
    for name in ("spec.yaml", "catalog.json"):
        (base / name).write_text((base / name).read_text().replace("image_cnn", "gone_away:Task"))
    assert shown(tmp_path) == "gone_away:Task []"


def test_an_old_study_of_our_task_gets_todays_catalog(tmp_path: Path) -> None:
    assert old_study(tmp_path, "image_cnn").catalog() == load_catalog("image_cnn")


def test_an_old_study_of_a_users_task_is_shown_from_its_own_files(tmp_path: Path) -> None:
    study = old_study(tmp_path, "gone_away:Task")
    catalog, today = study.catalog(), load_catalog("image_cnn")
    assert {(v.name, v.group) for v in catalog.variables} < {(v.name, v.group) for v in today.variables}
    assert catalog.metrics["val_accuracy"] == "maximize"
    assert catalog.metrics["val_loss"] is None, "its direction is unknown"
    assert study.spec().space.searched.keys() >= {"filters", "learning_rate"}
    assert best(study.name, tmp_path / "results")["trial"] == 0
    assert shown(tmp_path) == "gone_away:Task []"


def test_an_old_study_whose_expressions_compare_with_unused_strings(tmp_path: Path) -> None:
    study = old_study(tmp_path, "gone_away:Task")
    path = tmp_path / "results" / "studies" / "digits-small" / "spec.yaml"
    assert "constraints:" in path.read_text()
    document = study.document()
    document["constraints"] = [*document["constraints"], "optimizer != 'rmsprop' or filters > 1"]
    path.write_text(json.dumps(document))
    variables = {variable.name: variable for variable in study.catalog().variables}
    assert variables["optimizer"].domain.contains("rmsprop")
    assert len(study.spec().space.constraints) == len(document["constraints"])
