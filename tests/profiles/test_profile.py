"""Profiles: round trip, revisions, validation, provenance, names that stay in their folder, concurrent writers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tune_app import provenance
from tune_app.document import Document
from tune_app.errors import InputError, WorkFailed
from tune_app.naming import NAME_PATTERN
from tune_app.profiles import profiles as profiles_module
from tune_app.profiles.profile import Profile, from_trial
from tune_app.profiles.profile_document import read_document
from tune_app.profiles.profiles import Profiles, differences
from tune_app.results import review
from tune_app.spaces.catalog import Catalog
from tune_app.spaces.spec import Spec
from tune_app.spaces.variable import GROUPS, Config, Int, Variable, group_config
from tune_app.store.study import Study
from tune_app.tasks import TASKS, load_task
from tune_app.tasks.catalogs import load_catalog

MakeStudy = Callable[..., Study]
MakeSpec = Callable[..., Spec]
REPOSITORY = Path(__file__).parents[2]
OLD_PROFILE = Path(__file__).parents[1] / "fixtures" / "profile_v1.yaml"
VARIABLES = load_task("image_cnn").variables
DEFAULTS: Config = {v.name: v.default for v in VARIABLES}


def make(name: str = "a", **values: object) -> Profile:
    config: Config = {**DEFAULTS, **values}  # type: ignore[dict-item]
    return Profile(
        name,
        load_catalog("image_cnn"),
        "digits",
        config,
        provenance={"study": "s", "trial": 3, "seed": 5, "edited": {}},
    )


@pytest.fixture
def profiles(tmp_path: Path) -> Profiles:
    return Profiles(tmp_path / "profiles")


def refused(error: pytest.ExceptionInfo[InputError]) -> str:
    assert 1 <= len(str(error.value).splitlines()) <= 2
    assert error.value.exit_code == 2
    return str(error.value)


def test_round_trip(profiles: Profiles) -> None:
    saved = profiles.save(replace(make(), note="Good.", constraints=("filters <= 64",)), loaded_revision=0)
    assert profiles.load("a") == saved
    assert saved.revision == 1
    assert saved.provenance["code"] == provenance.code()
    assert saved.provenance["saved_at"].endswith("+00:00")
    assert profiles.names() == ["a"]


def test_the_file_has_a_fixed_order_and_every_variable(profiles: Profiles) -> None:
    config = dict(reversed(DEFAULTS.items()))
    profiles.save(replace(make(), config=config), loaded_revision=0)
    text = (profiles.folder / "a.yaml").read_text()
    keys = [line.split(":")[0] for line in text.splitlines() if line[0].isalpha()]
    assert keys == [
        *("schema_version", "name", "revision", "task", "dataset", "note", "config", "constraints", "provenance")
    ]
    groups = [line.strip(" :") for line in text.splitlines() if line.strip(" :") in GROUPS]
    assert groups == list(GROUPS)
    names = [line.strip().split(":")[0] for line in text.splitlines() if line.startswith("    ")]
    assert [name for name in names if name in DEFAULTS] == [v.name for g in GROUPS for v in VARIABLES if v.group == g]
    assert make().to_dict()["config"] == group_config(DEFAULTS, VARIABLES)


notes = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=60)


@given(
    note=notes,
    rate=st.floats(1e-6, 10),
    shift=st.floats(0, 0.5),
    kept=st.dictionaries(notes.filter(str.strip), st.one_of(st.none(), st.floats(-1e300, 1e300), st.booleans(), notes)),
)
@example(note="für\x85 \u2028 '\"#: \ufeff\ttab\n- x\n", rate=1e-5, shift=5e-324, kept={"a: b": "~"})
@example(note="", rate=1.0, shift=0.0, kept={"a": "\x85"})
@example(note="null", rate=1e-6, shift=0.1, kept={"x": "1e-5", "y": "0o7", "z": "2020-01-01", "w": "yes"})
@settings(max_examples=40, deadline=None)
def test_any_text_and_number_survives(
    tmp_path_factory: pytest.TempPathFactory, note: str, rate: float, shift: float, kept: dict[str, object]
) -> None:
    mine = {k: v for k, v in kept.items() if k not in ("seed", "epochs", "edited")}
    given_ = replace(make(learning_rate=rate, shift=shift), note=note, provenance=mine, revision=1)
    path = tmp_path_factory.getbasetemp() / "survives.yaml"
    path.write_text(given_.to_yaml(), encoding="utf-8")
    assert read_document(Document.read(path), load_catalog) == given_


def test_revisions(profiles: Profiles) -> None:
    for number, rate in enumerate([0.1, 0.2, 0.3]):
        profiles.save(make(learning_rate=rate), loaded_revision=number)
    assert profiles.revisions("a") == [1, 2, 3]
    assert [profiles.load("a", n).config["learning_rate"] for n in (1, 2, 3)] == [0.1, 0.2, 0.3]
    assert profiles.load("a").revision == 3
    restored = profiles.save(profiles.load("a", 1), loaded_revision=3)
    assert (restored.revision, restored.config["learning_rate"]) == (4, 0.1)
    assert differences(profiles.load("a", 3), restored) == {"training.learning_rate": (0.3, 0.1)}
    with pytest.raises(InputError, match="has no revision 9") as caught:
        profiles.load("a", 9)
    assert caught.value.hint == "kept: 1, 2, 3, 4"


def test_former_revisions_are_kept_byte_by_byte(profiles: Profiles) -> None:
    profiles.save(make(), loaded_revision=0)
    path = profiles.folder / "a.yaml"
    path.write_text("# by hand, with ü\n" + path.read_text())
    before = path.read_bytes()
    profiles.save(make(filters=8), loaded_revision=1)
    assert (profiles.folder / ".history/a/1.yaml").read_bytes() == before


def test_saving_over_a_change_is_refused(profiles: Profiles) -> None:
    profiles.save(make(), loaded_revision=0)
    mine = profiles.load("a")
    profiles.save(make(filters=8), loaded_revision=1)
    for loaded in (0, 1, 7):
        with pytest.raises(InputError, match=f"is at revision 2, but revision {loaded} was loaded") as caught:
            profiles.save(mine, loaded_revision=loaded)
        refused(caught)
    assert profiles.load("a").config["filters"] == 8
    with pytest.raises(InputError, match="is at revision 0, but revision 1 was loaded"):
        profiles.save(make("b"), loaded_revision=1)


def save_until_it_works(profiles: Profiles, rate: float) -> None:
    while True:
        loaded = max(profiles.revisions("a"), default=0)
        try:
            profiles.save(make(learning_rate=rate), loaded_revision=loaded)
            return
        except InputError as error:
            if "was loaded" not in error.message:
                raise


def test_threads_that_save_at_once_lose_nothing(profiles: Profiles) -> None:
    rates = [0.001 * n for n in range(1, 13)]
    failures: list[BaseException] = []

    def save(rate: float) -> None:
        try:
            save_until_it_works(profiles, rate)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=save, args=[rate]) for rate in rates]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert profiles.revisions("a") == list(range(1, 13))
    assert sorted(profiles.load("a", n).config["learning_rate"] for n in range(1, 13)) == sorted(rates)


SAVING = """
import sys
from tune_app.errors import InputError
from tune_app.profiles.profiles import Profiles
from dataclasses import replace
profiles = Profiles(sys.argv[1])
mine = profiles.load("start")
sys.stdin.readline()
for _ in range(6):
    while True:
        loaded = max(profiles.revisions("a"), default=0)
        try:
            profiles.save(replace(mine, name="a", note=sys.argv[2]), loaded_revision=loaded)
            break
        except InputError as error:
            assert "was loaded" in error.message, error
"""


def test_processes_that_save_at_once_lose_nothing(profiles: Profiles) -> None:
    profiles.save(make("start"), loaded_revision=0)
    processes = [
        subprocess.Popen([sys.executable, "-c", SAVING, str(profiles.folder), note], stdin=subprocess.PIPE, text=True)
        for note in ("one", "two")
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert profiles.revisions("a") == list(range(1, 13))
    notes = [profiles.load("a", n).note for n in range(1, 13)]
    assert notes.count("one") == notes.count("two") == 6


def test_waiting_for_another_writer_ends(profiles: Profiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles_module, "LOCK_WAIT_S", 0.1)
    with profiles._writing(), pytest.raises(WorkFailed, match=r"has been writing the profiles for 0\.1 s"):
        profiles.save(make(), loaded_revision=0)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    blocked = Profiles(tmp_path / "file")
    for write in (lambda: blocked.save(make(), loaded_revision=0), lambda: blocked.apply(make())):
        with pytest.raises(WorkFailed, match="cannot write") as caught:
            write()
        assert "--profiles" in caught.value.hint
    inside = Profiles(tmp_path / "profiles")
    (tmp_path / "profiles" / ".session.yaml").mkdir(parents=True)
    with pytest.raises(WorkFailed, match=r"cannot write .*session"):
        inside.apply(make())
    assert sorted(os.listdir(inside.folder)) == [".lock", ".session.yaml"], "no temporary file must be left"


@pytest.mark.parametrize(
    ("edits", "part"),
    [
        ({"training.learning_rate": "fast"}, "must be a number from 1e-06 to 10, but got 'fast'"),
        ({"training.learning_rate": "11"}, "the nearest valid value is 10"),
        ({"training.learning_rate": "nan"}, "must be a number"),
        ({"training.learning_raet": "0.1"}, "did you mean `learning_rate`"),
        ({"training.filters": "8"}, "write architecture.filters"),
        ({"trainign.learning_rate": "0.1"}, "did you mean `training`"),
        ({"training.optimizer": "adm"}, "did you mean `adam`"),
        ({"training.batch_size": "1.5"}, "must be a whole number"),
        ({"architecture.batch_norm": "yes"}, "one of True, False"),
        ({"architecture.filters": "65"}, "the constraint `filters <= 64` must hold, but got filters = 65"),
    ],
)
def test_edits_that_are_refused(edits: dict[str, str], part: str) -> None:
    with pytest.raises(InputError) as caught:
        replace(make(), constraints=("filters <= 64",)).edited(edits)
    assert part in refused(caught)
    assert "--set" in caught.value.where


def test_edits_are_recorded() -> None:
    once = make().edited({"training.learning_rate": "0.03", "filters": "8", "architecture.batch_norm": "false"})
    assert (once.config["learning_rate"], once.config["filters"], once.config["batch_norm"]) == (0.03, 8, False)
    assert once.provenance["edited"] == {
        "training.learning_rate": {"found": 0.005, "saved": 0.03},
        "architecture.filters": {"found": 16, "saved": 8},
        "architecture.batch_norm": {"found": True, "saved": False},
    }
    assert once.provenance["trial"] == 3
    twice = once.edited({"learning_rate": "0.04", "filters": "16"})
    assert twice.provenance["edited"] == {
        "training.learning_rate": {"found": 0.005, "saved": 0.04},
        "architecture.batch_norm": {"found": True, "saved": False},
    }, "the found value stays, and an edit back to it disappears"
    assert make().edited({"filters": "16"}).provenance["edited"] == {}
    assert replace(make(), provenance={"edited": None}).edited({"filters": "8"}).provenance["edited"]


def test_edits_survive_the_file(profiles: Profiles) -> None:
    profiles.save(make().edited({"filters": "8"}), loaded_revision=0)
    again = profiles.load("a").edited({"filters": "16"})
    assert again.provenance["edited"] == {}


@given(st.one_of(st.text(max_size=80), st.sampled_from(["../a", "/etc/passwd", "a/../../b", ".session", ".history/x"])))
@example("a\n")
@example("x" * 65)
@settings(max_examples=200, deadline=None)
def test_a_name_cannot_reach_other_files(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "beside" / "names"
    folder.mkdir(parents=True, exist_ok=True)
    (folder.parent / "b.yaml").write_text(make("b").to_yaml())
    before = {p for p in folder.parent.rglob("*") if p.name != ".lock"}
    kept = Profiles(folder)
    uses: list[Callable[[], object]] = [
        lambda: kept.load(name),
        lambda: kept.load(name, 1),
        lambda: kept.delete(name),
    ]
    if not NAME_PATTERN.fullmatch(name):
        uses += [lambda: kept.save(make(name), loaded_revision=0), lambda: kept.revisions(name)]
    for use in uses:
        with pytest.raises(InputError):
            use()
    assert {p for p in folder.parent.rglob("*") if p.name != ".lock"} == before


def test_a_link_cannot_lead_out_of_the_folder(profiles: Profiles, tmp_path: Path) -> None:
    profiles.save(make(), loaded_revision=0)
    secret = tmp_path / "secret.yaml"
    secret.write_text(make("link").to_yaml())
    (profiles.folder / "link.yaml").symlink_to(secret)
    (profiles.folder / "circle.yaml").symlink_to(profiles.folder / "circle.yaml")
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "1.yaml").write_text(make("b").to_yaml())
    (profiles.folder / ".history").mkdir(exist_ok=True)
    (profiles.folder / ".history" / "b").symlink_to(tmp_path / "else")
    uses: list[Callable[[], object]] = [
        lambda: profiles.load("link"),
        lambda: profiles.save(make("link"), loaded_revision=0),
        lambda: profiles.delete("link"),
        lambda: profiles.load("circle"),
        lambda: profiles.load("b", 1),
        lambda: profiles.revisions("b"),
    ]
    for use in uses:
        with pytest.raises(InputError, match=r"must be in|there is no profile") as caught:
            use()
        refused(caught)
    assert secret.read_text() == make("link").to_yaml()
    (profiles.folder / "inner.yaml").symlink_to(profiles.folder / "a.yaml")
    with pytest.raises(InputError, match="`name` must match the file name, `inner`, but got `a`"):
        profiles.load("inner")


def test_delete_keeps_the_history(profiles: Profiles) -> None:
    profiles.save(make(filters=8), loaded_revision=0)
    profiles.save(make(filters=9), loaded_revision=1)
    profiles.delete("a")
    assert profiles.names() == []
    assert profiles.revisions("a") == [1, 2]
    assert profiles.load("a", 2).config["filters"] == 9
    with pytest.raises(InputError, match="there is no profile `a`"):
        profiles.load("a")
    with pytest.raises(InputError, match="there is no profile `a`"):
        profiles.delete("a")
    assert profiles.save(make(filters=10), loaded_revision=0).revision == 3


def test_an_invalid_profile_can_be_deleted(profiles: Profiles) -> None:
    profiles.save(make(), loaded_revision=0)
    path = profiles.folder / "a.yaml"
    path.write_text(path.read_text().replace("filters: 16", "filters: -1"))
    profiles.delete("a")
    assert profiles.revisions("a") == [1]


def test_session(profiles: Profiles) -> None:
    with pytest.raises(InputError, match="nothing has been applied yet") as caught:
        profiles.session()
    assert "tune-app apply" in caught.value.hint
    profiles.apply(make("from-trial", filters=8))
    profiles.apply(make("from-trial", filters=9))
    assert profiles.session().config["filters"] == 9
    assert profiles.session().provenance["trial"] == 3
    assert profiles.names() == [], "the session is not a profile"
    with pytest.raises(InputError):
        profiles.apply(replace(make(), config={**DEFAULTS, "filters": 0}))
    assert profiles.session().config["filters"] == 9


def test_nearest_name(profiles: Profiles) -> None:
    profiles.save(make("digits-best"), loaded_revision=0)
    with pytest.raises(InputError) as caught:
        profiles.load("digits-bets")
    assert "did you mean `digits-best`?" in refused(caught)


BY_HAND: dict[str, tuple[str, str, str, str]] = {
    "value": ("filters: 16", "filters: 0", ":10 config.architecture.filters", "must be a whole number from 1"),
    "type": ("dropout: 0.1", "dropout: low", ":18 config.architecture.dropout", "but got 'low'"),
    "truth": ("batch_norm: true", "batch_norm: 1", ":13 config.architecture.batch_norm", "one of True, False"),
    "null": ("tta: 1", "tta: null", " config.inference.tta", "must be a whole number"),
    "variable": ("momentum:", "momentun:", " config.training.momentun", "did you mean `momentum`"),
    "group": ("  training:", "  trainign:", ":19 config.trainign", "did you mean `training`"),
    "other group": ("    tta: 1", "    tta: 1\n    epochs: 3", " config.inference.epochs", "write training.epochs"),
    "key": ("dataset:", "datset:", ":5 datset", "did you mean `dataset`"),
    "version": ("schema_version: 1", "schema_version: 2", ":1 schema_version", "must be 1, but got 2"),
    "version text": ("schema_version: 1", "schema_version: one", ":1 schema_version", "must be 1, but got 'one'"),
    "no version": ("schema_version: 1\n", "", " schema_version", "must be 1, but got None"),
    "name": ("name: a", "name: b", "a.yaml name", "must match the file name, `a`, but got `b`"),
    "name number": ("name: a", "name: 3", ":2 name", "`name` must be a string, but got 3"),
    "task": ("task: image_cnn", "task: image_cn", ":4 task", "did you mean `image_cnn`"),
    "no task": ("task: image_cnn\n", "", " task", "`task` must be a string"),
    "revision": ("revision: 1", "revision: first", ":3 revision", "must be a whole number from 0, but got 'first'"),
    "constraints": ("constraints: []", "constraints: filters > 1", " constraints", "must be a list"),
    "constraint": ("constraints: []", "constraints: ['filters >']", " constraints.0", "filters >"),
    "constraint number": ("constraints: []", "constraints: [3]", " constraints.0", "must be a string, but got 3"),
    "broken constraint": ("constraints: []", "constraints: ['filters > 16']", "a.yaml", "`filters > 16` must hold"),
    "unknown in constraint": ("constraints: []", "constraints: ['filtres > 16']", "a.yaml filtres > 16", "filtres"),
    "config": ("  architecture:", "  architecture: 3\n  x:", " config.architecture", "must be a mapping, but got 3"),
    "provenance": ("  trial: 3", "  trial: 3\n  epochs: many", " provenance.epochs", "a whole number from 0"),
    "seed": ("  seed: 5", "  seed: -5", " provenance.seed", "a whole number from 0, but got -5"),
    "edited": ("  edited: {}", "  edited: nothing", " provenance.edited", "must be a mapping, but got 'nothing'"),
    "edit": ("  edited: {}", "  edited: {x: 3}", " provenance.edited.x", "must be a mapping, but got 3"),
    "yaml": ("note: ''", "note: '", "", "YAML must be well-formed"),
    "duplicate": ("note: ''", "note: ''\ntask: x", ":7 task", "unique keys"),
    "tab": ("  trial: 3", "\ttrial: 3", "", "YAML must be well-formed"),
}


@pytest.mark.parametrize("what", BY_HAND)
def test_a_file_edited_by_hand(what: str, profiles: Profiles) -> None:
    old, new, where, part = BY_HAND[what]
    text = replace(make(), revision=1).to_yaml()
    assert old in text
    profiles.folder.mkdir()
    (profiles.folder / "a.yaml").write_text(text.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        profiles.load("a")
    assert part in refused(caught)
    assert where in caught.value.where
    assert "a.yaml" in caught.value.where


@given(st.binary(max_size=60))
@settings(max_examples=100, deadline=None)
def test_no_bytes_are_a_traceback(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError):
        read_document(Document.read(path), load_catalog)


def test_a_profile_of_version_1_is_read() -> None:
    """tests/fixtures/profile_v1.yaml was written by version 1 of the format and must not change."""
    old = read_document(Document.read(OLD_PROFILE), load_catalog)
    assert (old.name, old.revision, old.note) == ("digits-best", 3, "Wärmer.")
    assert old.config["learning_rate"] == 0.03
    assert old.constraints == ("filters * conv_layers <= 128",)
    assert old.provenance["edited"] == {"training.learning_rate": {"found": 0.031, "saved": 0.03}}
    assert old.provenance["objective"] == 0.9917


@pytest.mark.parametrize("path", sorted((REPOSITORY / "profiles").glob("*.yaml")), ids=lambda path: path.name)
def test_a_shipped_profile_is_valid(path: Path) -> None:
    shipped = Profiles(path.parent).load(path.stem)
    assert set(shipped.config) == {v.name for v in load_task(shipped.task).variables}


def test_there_is_an_example_with_the_defaults_for_each_task() -> None:
    shipped = Profiles(REPOSITORY / "profiles")
    examples = {found.task: found.config for found in map(shipped.load, shipped.names())}
    assert examples == {name: {v.name: v.default for v in load_task(name).variables} for name in TASKS}


def test_a_variable_that_was_added_to_the_task_later_has_its_default(tmp_path: Path) -> None:
    shipped = (REPOSITORY / "profiles" / "digits-example.yaml").read_text(encoding="utf-8")
    (tmp_path / "digits-example.yaml").write_text(shipped.replace("    crop: 0.0\n", ""), encoding="utf-8")
    assert "crop" not in (tmp_path / "digits-example.yaml").read_text(encoding="utf-8")
    assert Profiles(tmp_path).load("digits-example").config == DEFAULTS


def test_from_a_trial(tmp_path: Path, make_study: MakeStudy, make_spec: MakeSpec) -> None:
    study = make_study(tmp_path)
    for number, record in study.history().trials.items():
        found = from_trial(study, review.trial_row(study, number), "x").validated()
        assert found.config == record.config
        assert found.provenance["epochs"] == found.config["epochs"] == 2, "the epochs of a full training"
        assert found.provenance["seed"] == record.seed
    winner = from_trial(study, review.best_row(study), "x")
    assert winner.provenance == {
        "study": "digits-small",
        "trial": 0,
        "state": "COMPLETED",
        "metric": "val_accuracy",
        "mode": "simple",
        "objective": 0.9,
        "epochs": 2,
        "seed": study.history().trials[0].seed,
        "edited": {},
        "code": provenance.code(),
        "spec_sha256": make_spec().sha256(),
        "dataset_sha256": "0" * 64,
    }
    assert winner.constraints == ("filters * conv_layers <= 6",)
    assert from_trial(study, review.trial_row(study, 3), "x").provenance["objective"] is None
    with pytest.raises(InputError, match="filters \\* conv_layers <= 6"):
        winner.edited({"filters": "7"})


def test_searched_epochs_are_the_profiles_epochs(tmp_path: Path, make_study: MakeStudy, make_spec: MakeSpec) -> None:
    parameters = {"training": {"epochs": {"type": "int", "low": 1, "high": 9}}}
    study = make_study(tmp_path, make_spec(budget={"trials": 5, "epochs": 9}, parameters=parameters, constraints=[]))
    for number, record in study.history().trials.items():
        found = from_trial(study, review.trial_row(study, number), "x")
        assert found.provenance["epochs"] == found.config["epochs"] == record.config["epochs"]


def test_provenance_outside_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    found = provenance.code()
    assert found["git_commit"] is None
    assert set(found["versions"]) >= {"python", "torch", "optuna", "ray"}
    monkeypatch.setenv("PATH", "")
    assert provenance.git_commit() is None
    assert set(provenance.machine()) == {"host", "system"}


def test_rename_keeps_the_history(profiles: Profiles) -> None:
    first = profiles.save(replace(make(), note="name: b\nname: c"), loaded_revision=0)
    profiles.save(replace(first, config={**DEFAULTS, "filters": 8}), loaded_revision=1)
    renamed = profiles.rename("a", "b", loaded_revision=2)
    assert (renamed.name, renamed.revision, renamed.config["filters"]) == ("b", 2, 8)
    assert renamed.note == first.note
    assert profiles.names() == ["b"]
    assert profiles.revisions("b") == [1, 2]
    assert profiles.load("b", 1) == replace(first, name="b")
    assert profiles.revisions("a") == []
    assert profiles.rename("b", "123").name == "123"


def test_rename_refuses_a_name_in_use_and_a_changed_profile(profiles: Profiles) -> None:
    profiles.save(make("a"), loaded_revision=0)
    profiles.save(make("b"), loaded_revision=0)
    with pytest.raises(InputError, match="a profile has the name `b`"):
        profiles.rename("a", "b")
    profiles.delete("b")
    with pytest.raises(InputError, match="a deleted profile, whose history is kept, has the name `b`"):
        profiles.rename("a", "b")
    with pytest.raises(InputError, match="is at revision 1, but revision 3 was loaded"):
        profiles.rename("a", "c", loaded_revision=3)
    with pytest.raises(InputError, match="there is no profile `x`"):
        profiles.rename("x", "c")
    with pytest.raises(InputError, match="a profile's name must be 1 to 64 lowercase letters"):
        profiles.rename("a", "../c")
    assert profiles.names() == ["a"]


OWN = Catalog("mine:Task", (Variable("width", "architecture", Int(1, 64), 8, "Width."),), metrics={"loss": "minimize"})
NARROW = Catalog(
    "mine:Task", (Variable("width", "architecture", Int(4, 8), 8, "Width."),), metrics={"loss": "minimize"}
)


def nothing(task: str) -> bool:
    return False


def test_a_profile_of_a_users_task_is_read_without_the_task(tmp_path: Path) -> None:
    kept = Profiles(tmp_path, nothing)
    first = kept.save(Profile("a", OWN, "table", {"width": 64}), loaded_revision=0)
    kept.save(Profile("b", NARROW, "table", {"width": 6}), loaded_revision=0)
    assert kept.load("a") == first, "another catalog of the same task must not replace it"
    kept.save(Profile("a", NARROW, "table", {"width": 5}), loaded_revision=1)
    assert kept.load("a", 1).config == {"width": 64}
    assert kept.load("a").config == {"width": 5}
    kept.apply(kept.load("a", 1))
    assert kept.session().config == {"width": 64}
    kept.rename("a", "c")
    assert (kept.load("c", 1).config, kept.load("c").config) == ({"width": 64}, {"width": 5})
    kept.delete("c")
    assert kept.load("c", 2).config == {"width": 5}
    assert not list((tmp_path / ".catalogs").rglob("a*"))


@pytest.mark.parametrize("damage", ["{", "[]", "1", '{"schema_version": 1}'])
def test_a_damaged_catalog_is_reported(tmp_path: Path, damage: str) -> None:
    kept = Profiles(tmp_path, nothing)
    kept.save(Profile("a", OWN, "table", {"width": 64}), loaded_revision=0)
    (tmp_path / ".catalogs" / "a.json").write_text(damage)
    with pytest.raises(InputError, match="catalog") as caught:
        kept.load("a")
    assert "a.json" in caught.value.hint


def test_without_its_catalog_a_task_that_may_not_be_imported_is_refused(tmp_path: Path) -> None:
    kept = Profiles(tmp_path, nothing)
    kept.save(Profile("a", OWN, "table", {"width": 64}), loaded_revision=0)
    shutil.rmtree(tmp_path / ".catalogs")
    with pytest.raises(InputError, match="may not be imported here"):
        kept.load("a")
