"""The command line without Ray: outputs, exit codes, errors in two lines, and how fast it starts."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import resource
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from tune_app import readable
from tune_app.cli import main as cli_main
from tune_app.cli import options
from tune_app.cli.results import print_table
from tune_app.errors import Interrupted
from tune_app.profiles.profiles import Profiles
from tune_app.spaces.feasibility import sample
from tune_app.spaces.spec import Spec
from tune_app.store.columns import column_types
from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.store.study_writer import StudyWriter
from tune_app.store.sweep_changes import SweepChange, SweepChanges
from tune_app.tasks.spec_file import load_spec

MakeStudy = Callable[..., Study]
MakeSpec = Callable[..., Spec]
REPOSITORY = Path(__file__).parents[2]
SPACES = sorted((REPOSITORY / "search_spaces").glob("*.yaml"))


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The JSON document on stdout; fails if there is anything else."""
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The error: one or two lines on stderr, nothing on stdout, no traceback."""
        assert self.out == ""
        assert self.err.startswith("error: ")
        assert 1 <= len(self.err.splitlines()) <= 2, self.err
        assert "Traceback" not in self.err
        return self.err


Command = Callable[..., Ran]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, make_study: MakeStudy, make_spec: MakeSpec) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "results"
    make_study(folder)
    make_study(folder, make_spec(name="hopeless"), ends=["FAILED", "PRUNED"])
    make_study(folder, make_spec(name="empty"), ends=[])
    return folder


@pytest.fixture
def tune_app(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run the command in process, with the small store and an empty profiles folder."""
    monkeypatch.setenv("TUNE_APP_STORE", str(root))
    monkeypatch.setenv("TUNE_APP_PROFILES", str(tmp_path / "profiles"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Ran:
        code = cli_main.run(list(arguments))
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return run


def shell(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tune_app", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, cwd=REPOSITORY)


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["profile", "save", "--help"], ["data", "fetch", "--help"], ["--version"]],
)
def test_help_is_fast_and_imports_nothing_heavy(arguments: list[str]) -> None:
    before = _children_cpu_s()
    done = shell(*arguments)
    assert _children_cpu_s() - before < 0.5
    assert done.returncode == 0
    assert done.stderr == ""
    code = f"import sys\nfrom tune_app.cli.main import run\nrun({arguments})\nprint(*sys.modules, file=sys.stderr)"
    modules = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr.split())
    assert "tune_app.cli.main" in modules
    assert not modules & {"torch", "ray", "pandas", "optuna", "numpy", "pyarrow", "rich", "pydantic", "pooch"}


def _children_cpu_s() -> float:
    """CPU time of all child processes so far, which does not depend on how busy the machine is."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_names_every_verb(tune_app: Command) -> None:
    text = tune_app("--help").out
    for verb in ("init", "check", "run", "resume", "studies", "trials", "show", "apply", "profile", "train", "data"):
        assert f"\n  {verb} " in text
        assert tune_app(verb, "--help").code == 0


def test_the_bare_command_prints_its_help(tune_app: Command) -> None:
    ran = tune_app()
    assert ran.code == 2
    assert "Commands:" in ran.err


def test_an_unreadable_store_exits_with_1(tune_app: Command, tmp_path: Path) -> None:
    (tmp_path / "results" / "studies" / "s" / "spec.yaml").mkdir(parents=True)
    ran = tune_app("trials", "s", "--store", str(tmp_path / "results"))
    assert ran.code == 2, "a folder without spec.yaml is not a study"
    (tmp_path / "results" / "studies" / "s" / "spec.yaml").rmdir()
    (tmp_path / "results" / "studies" / "s" / "spec.yaml").write_text("name: s")
    (tmp_path / "results" / "trials" / "study=s" / "data.parquet").mkdir(parents=True)
    ran = tune_app("trials", "s", "--store", str(tmp_path / "results"))
    assert ran.code == 1
    assert len(ran.err.splitlines()) == 2


def test_a_note_that_is_not_unicode_is_saved_escaped(tune_app: Command) -> None:
    tune_app("profile", "save", "noted", "--trial", "digits-small", "--note", os.fsdecode(b"caf\xe9"))
    assert tune_app("profile", "show", "noted", "--json").json["note"] == "caf\\udce9"


def test_studies(tune_app: Command) -> None:
    found = tune_app("studies", "--json").json
    assert [row["study"] for row in found] == ["digits-small", "empty", "hopeless"]
    assert (found[0]["trials"], found[0]["best"], found[2]["best"]) == ("5/5", 0.9, None)
    table = tune_app("studies").out
    assert "digits-small" in table
    assert "0.9" in table
    rows = list(csv.DictReader(io.StringIO(tune_app("studies", "--csv").out)))
    assert [row["study"] for row in rows] == ["digits-small", "empty", "hopeless"]


def test_studies_in_an_empty_store(tune_app: Command, tmp_path: Path) -> None:
    ran = tune_app("studies", "--store", str(tmp_path / "none"))
    assert (ran.code, "no studies in" in ran.out) == (0, True)
    assert tune_app("studies", "--json", "--store", str(tmp_path / "none")).json == []
    assert not (tmp_path / "none").exists()


def test_one_damaged_study_does_not_hide_the_others(tune_app: Command, tmp_path: Path, make_study: MakeStudy) -> None:
    make_study(tmp_path / "store")
    damaged = tmp_path / "store" / "studies" / "damaged"
    damaged.mkdir()
    (damaged / "spec.yaml").write_text("a: [")
    found = tune_app("studies", "--json", "--store", str(tmp_path / "store")).json
    assert [row["study"] for row in found] == ["damaged", "digits-small"]
    assert "must be the search space" in found[0]["invalid"]
    assert "must be the search space" in tune_app("studies", "--store", str(tmp_path / "store")).out


def test_trials(tune_app: Command) -> None:
    found = tune_app("trials", "digits-small", "--json").json
    assert [row["trial"] for row in found] == [0, 2, 4, 1, 3]
    assert found[4]["objective"] is found[4]["model_parameters"] is None
    assert found[0]["model_parameters"] == 1234567
    assert isinstance(found[0]["config/architecture/batch_norm"], bool)
    assert found[0]["started_at"].endswith("+00:00")
    rows = list(csv.DictReader(io.StringIO(tune_app("trials", "digits-small", "--csv").out)))
    assert [row["trial"] for row in rows] == ["0", "2", "4", "1", "3"]
    assert rows[0]["model_parameters"] == "1234567"
    table = tune_app("trials", "digits-small").out.splitlines()
    assert len(table) == 6
    assert table[0].split()[:4] == ["trial", "state", "objective", "conv_layers"]
    assert "no [/bracket] fits" in table[5], "an error must be printed unchanged"


def test_trials_of_a_study_without_any(tune_app: Command) -> None:
    assert tune_app("trials", "empty").out == "no trial of empty has ended yet\n"
    assert tune_app("trials", "empty", "--json").json == []


def test_a_table_that_a_full_disk_left_empty_is_an_error(
    tune_app: Command, make_study: MakeStudy, tmp_path: Path
) -> None:
    study = make_study(tmp_path / "full")
    file = Path(study.trials_path, "data.parquet")
    pq.write_table(pq.read_table(file).slice(0, 0), file)
    ran = tune_app("trials", study.name, "--store", str(tmp_path / "full"))
    assert ran.code == 1
    assert "must have the 5 trials of digits-small that ended, but it is empty" in ran.error
    assert "`tune-app resume digits-small` writes it again" in ran.error


def test_show(tune_app: Command) -> None:
    best = tune_app("show", "digits-small", "--json").json
    assert (best["trial"], best["metric"]["val_accuracy"]) == (0, 0.9)
    assert set(best["config"]) == {"architecture", "training", "data", "inference"}
    assert best["config"]["training"]["batch_size"] == 500
    text = tune_app("show", "digits-small", "2").out
    assert "COMPLETED" in text
    assert "1234569" in text, "whole numbers must be shown in full"
    (searched,) = (line for line in text.splitlines() if line.strip().startswith("learning_rate"))
    (fixed,) = (line for line in text.splitlines() if line.strip().startswith("batch_size"))
    assert searched.endswith("searched")
    assert fixed.endswith("500")


def test_logs_of_a_scripts_trial(tune_app: Command, root: Path) -> None:
    log = root / "studies" / "digits-small" / "logs" / "000002.log"
    log.parent.mkdir()
    log.write_bytes(b"$ python train.py\nstep 20\n")
    assert tune_app("logs", "digits-small", "2").out == "$ python train.py\nstep 20\n"
    assert "trial 1 of `digits-small` has no log" in tune_app("logs", "digits-small", "1").error
    assert "its trials: 0 to 4" in tune_app("logs", "digits-small", "9").error


def test_the_log_of_a_running_trial_is_followed_until_it_ends(
    tune_app: Command, root: Path, make_spec: Callable[..., Spec]
) -> None:
    spec = make_spec(name="followed")
    study, started = Study(Store(root).folder, "followed"), threading.Event()

    def sweep() -> None:
        with study.writing(), StudyWriter(study, study.history(), column_types(spec.space.variables)) as writer:
            study.folder.write(f"{study.base}/spec.yaml", spec.to_yaml().encode())
            writer.trial_started(0, "t0", sample(spec.space, np.random.default_rng(0)), 7, 1)
            study.folder.append(study.log(0), b"step 1\n")
            started.set()
            time.sleep(1.2)
            study.folder.append(study.log(0), b"step 2\n")

    thread = threading.Thread(target=sweep)
    thread.start()
    assert started.wait(10)
    assert tune_app("logs", "followed", "0").out == "step 1\n"
    assert tune_app("logs", "followed", "0", "--follow").out == "step 1\nstep 2\n"
    thread.join()


def test_a_table_of_many_trials_is_printed_fast_with_one_line_per_row(capsys: pytest.CaptureFixture[str]) -> None:
    values = {f"v{k}": k / 3 for k in range(20)}
    rows = [{"trial": n, **values, "error": "a [b]\nc" if n == 7 else None} for n in range(10_000)]
    began = time.process_time()
    print_table(rows)
    assert time.process_time() - began < 3, "0.3 s on an idle machine; rich took 17 s"
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(rows)
    assert lines[0].split()[:3] == ["trial", "v0", "v1"]
    assert lines[8].endswith("a [b] c")
    assert lines[8].index("a [b]") == lines[0].index("error")


def test_notes_on_a_trial(tune_app: Command) -> None:
    assert tune_app("note", "digits-small", "2").out == "trial 2: no note, star or tags\n"
    ran = tune_app("note", "digits-small", "2", "Look again", "--star", "--tag", "run 2", "--tag", "odd")
    assert ran.out == "trial 2: ★ [run 2] [odd] Look again\n"
    removed = tune_app("note", "digits-small", "2", "", "--untag", "odd", "--json")
    assert re.fullmatch(r"replaced the note by \S+: Look again\n", removed.err)
    found = json.loads(removed.out)
    assert found == {"trial": 2, "star": True, "tags": ["run 2"], "note": None}
    row = next(row for row in json.loads(tune_app("trials", "digits-small", "--json").out) if row["trial"] == 2)
    assert (row["star"], row["tags"], row["note"]) == (True, "run 2", None)
    assert "run 2" in tune_app("show", "digits-small", "2").out
    tune_app("note", "digits-small", "2", "--no-star", "--untag", "run 2")
    assert "star " not in tune_app("show", "digits-small", "2").out
    assert "has no trial 9; its trials: 0 to 4" in tune_app("note", "digits-small", "9").error.replace("\n  ", "; ")
    both = tune_app("note", "digits-small", "2", "--tag", "a", "--untag", "a")
    assert both.code == 2
    assert "cannot be in both --tag and --untag, but `a` is" in both.error


def test_a_running_sweep_is_asked_for_changes_one_by_one(tune_app: Command, root: Path) -> None:
    study = Store(root).study("digits-small")
    refused = tune_app("change", "digits-small", "--stop", "0")
    assert refused.code == 2
    assert "nothing is writing the study `digits-small`" in refused.error
    asked: list[SweepChange] = []

    def sweep() -> None:
        """Answer like a sweep."""
        while len(asked) < 3:
            asked[:] = SweepChanges(study).read()
            live = {"state": "running", "changes": len(asked), "answer": f"answer {len(asked)}"}
            study.folder.write(f"{study.base}/live.json", json.dumps(live).encode())
            time.sleep(0.05)

    with study.writing():
        answering = threading.Thread(target=sweep, daemon=True)
        answering.start()
        ran = tune_app("change", "digits-small", "--stop", "3", "--trials", "9", "--concurrent", "auto")
        answering.join(20)
    assert ran.out == "answer 1\nanswer 2\nanswer 3\n"
    assert [(change.kind, change.value) for change in asked] == [("stop", 3), ("trials", 9), ("concurrent", 0)]
    assert "must be auto or a whole number" in tune_app("change", "digits-small", "--concurrent", "0").error
    assert "there is nothing to change" in tune_app("change", "digits-small").error


def test_show_if_nothing_completed(tune_app: Command) -> None:
    ran = tune_app("show", "hopeless")
    assert ran.code == 1
    assert "no trial of the study `hopeless` completed" in ran.error
    assert tune_app("show", "hopeless", "0", "--json").json["state"] == "FAILED"


def test_apply_and_train(tune_app: Command, root: Path) -> None:
    ran = tune_app("apply", "digits-small", "--set", "training.learning_rate=0.01")
    assert ran.code == 0
    assert "applied trial 0 of digits-small (edited: training.learning_rate)" in ran.out
    trained = tune_app("train", "--json")
    assert trained.code == 0
    assert trained.json["config"]["learning_rate"] == 0.01
    assert trained.json["epochs"] == 2
    assert 0 <= trained.json["metrics"]["test_accuracy"] <= 1
    assert [line.split(":")[0] for line in trained.err.splitlines()] == ["epoch 1", "epoch 2"]
    assert Path(trained.json["folder"]).parent == root / "trainings"
    assert json.loads(Path(trained.json["folder"], "metrics.json").read_text())["threads"] == 1
    other = tune_app("apply", "digits-small", "2")
    assert "applied trial 2 of digits-small; `tune-app train` uses it" in other.out


def test_training_a_trial_uses_its_seed_and_threads(tune_app: Command, root: Path) -> None:
    row = tune_app("show", "digits-small", "2", "--json").json
    one = tune_app("train", "--trial", "digits-small:2", "--json").json
    two = tune_app("train", "--trial", "digits-small:2", "--json").json
    assert one["seed"] == row["seed"]
    assert one["metrics"] == two["metrics"]
    assert one["config"] == {n: v for group in row["config"].values() for n, v in group.items()}
    text = tune_app("train", "--trial", "digits-small:2", "--epochs", "1", "--seed", "3").out
    assert "test_accuracy" in text
    assert "checkpoint and metrics:" in text


def test_train_for_more_epochs(tune_app: Command) -> None:
    trained = tune_app("train", "--trial", "digits-small:0", "--epochs", "3", "--json").json
    assert trained["epochs"] == trained["config"]["epochs"] == 3


def test_profiles_from_save_to_delete(tune_app: Command) -> None:
    assert "no profiles in" in tune_app("profile", "list").out
    saved = tune_app("profile", "save", "mine", "--trial", "digits-small", "--note", "First.")
    assert (saved.code, "(revision 1) from trial 0 of digits-small\n" in saved.out) == (0, True)
    again = tune_app("profile", "save", "mine", "--trial", "digits-small:2")
    assert again.code == 2
    assert "exists at revision 1" in again.error
    assert "--replace" in again.err
    edit = ("--set", "data.shift=0.1")
    assert tune_app("profile", "save", "mine", "--trial", "digits-small:2", "--replace", *edit).code == 0
    (row,) = tune_app("profile", "list", "--json").json
    assert (row["profile"], row["revision"], row["study"], row["trial"], row["objective"]) == (
        *("mine", 2, "digits-small", 2),
        None,  # the edited configuration was never measured
    )
    assert "mine" in tune_app("profile", "list").out
    shown = tune_app("profile", "show", "mine", "--json").json
    assert shown == YAML(typ="safe").load(tune_app("profile", "show", "mine").out)
    assert shown["provenance"]["edited"] == {"data.shift": {"found": 0.0, "saved": 0.1}}
    assert tune_app("profile", "show", "mine", "--revision", "1", "--json").json["note"] == "First."
    diff = tune_app("profile", "diff", "mine@1", "mine", "--json").json
    assert diff["data.shift"] == {"old": 0.0, "new": 0.1}
    assert "data.shift" in tune_app("profile", "diff", "mine@1", "mine").out
    assert tune_app("profile", "diff", "mine", "mine").out == "no difference\n"
    assert tune_app("profile", "diff", "mine", "mine", "--json").json == {}
    history = tune_app("profile", "history", "mine", "--json").json
    assert [(r["revision"], r["trial"]) for r in history] == [(1, 0), (2, 2)]
    assert "data.shift" in history[1]["changed"]
    assert len(tune_app("profile", "history", "mine").out.splitlines()) == 3
    assert tune_app("profile", "save", "copy", "--from", "mine").code == 0
    assert tune_app("apply", "--profile", "copy").code == 0
    assert tune_app("profile", "save", "session-kept").code == 0
    assert tune_app("profile", "rename", "mine", "yours").out.startswith("renamed mine to yours (revision ")
    assert tune_app("profile", "rename", "yours", "mine").code == 0
    assert "deleted mine" in tune_app("profile", "delete", "mine", "--yes").out
    assert tune_app("profile", "show", "mine").code == 2
    assert tune_app("profile", "show", "mine", "--revision", "2", "--json").json["revision"] == 2
    assert len(tune_app("profile", "history", "mine", "--json").json) == 2


@pytest.mark.parametrize(("answer", "kept"), [("y\n", False), ("n\n", True), ("\n", True)])
def test_delete_asks_for_confirmation(
    answer: str, kept: bool, tune_app: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune_app("profile", "save", "mine", "--trial", "digits-small")
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    ran = tune_app("profile", "delete", "mine")
    assert (ran.code, "delete the profile `mine` (revision 1)?" in ran.err) == (0, True)
    assert (tune_app("profile", "show", "mine").code == 0) == kept


def test_an_invalid_profile_is_listed_as_such(tune_app: Command, tmp_path: Path) -> None:
    tune_app("profile", "save", "mine", "--trial", "digits-small")
    (tmp_path / "profiles" / "broken.yaml").write_text("task: [")
    found = tune_app("profile", "list", "--json").json
    assert [(row["profile"], bool(row["invalid"])) for row in found] == [("broken", True), ("mine", False)]
    assert "broken" in tune_app("profile", "list").out


def test_show_a_profile_that_no_study_found(tune_app: Command) -> None:
    folder = ["--profiles", str(REPOSITORY / "profiles")]
    assert tune_app("profile", "list", *folder).code == 0
    shown = tune_app("profile", "show", "digits-example", "--json", *folder).json
    assert shown["config"]["training"]["epochs"] == 15


def test_a_users_profile_hides_an_example_with_the_same_name(tune_app: Command) -> None:
    assert "digits-example" in tune_app("profile", "list").out
    assert tune_app("profile", "diff", "digits-example", "digits-example").code == 0
    assert tune_app("profile", "show", "digits-example", "--json").json["config"]["architecture"]["filters"] == 16
    own = ("--trial", "digits-small", "--set", "architecture.filters=2")
    assert tune_app("profile", "save", "digits-example", *own).code == 0
    assert tune_app("profile", "show", "digits-example", "--json").json["config"]["architecture"]["filters"] == 2
    assert tune_app("profile", "delete", "python-reference-example", "--yes").code == 2, "shipped profiles must stay"


def test_init_overwrites_nothing(tune_app: Command, tmp_path: Path) -> None:
    made = tune_app("init").out
    assert made.splitlines()[-1] == "tune-app run space.yaml"
    (tmp_path / "train.py").write_text("mine")
    (tmp_path / "analysis.ipynb").unlink()
    assert "never overwrites files, but the folder already has space.yaml and train.py" in tune_app("init").error
    assert not (tmp_path / "analysis.ipynb").exists()
    assert (tmp_path / "train.py").read_text() == "mine"
    (tmp_path / "file").write_text("")
    assert "cannot write" in tune_app("init", "file/project").error


def test_a_new_project_has_a_notebook_without_the_outputs_of_another_study(tune_app: Command, tmp_path: Path) -> None:
    tune_app("init", "new")
    cells = json.loads((tmp_path / "new" / "analysis.ipynb").read_text(encoding="utf-8"))["cells"]
    assert any(cell["cell_type"] == "code" for cell in cells)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


USER_MISTAKES: dict[str, tuple[list[str], str]] = {
    "study": (["trials", "digits-smal"], "did you mean `digits-small`?"),
    "study to show": (["show", "digits-smal"], "did you mean `digits-small`?"),
    "study to apply": (["apply", "digits-smal"], "did you mean `digits-small`?"),
    "study outside": (["trials", "../results"], "there is no study `../results`"),
    "trial": (["show", "digits-small", "9"], "its trials: 0 to 4"),
    "huge trial": (["show", "digits-small", "9" * 40], "its trials: 0 to 4"),
    "trial to apply": (["apply", "digits-small", "9"], "its trials: 0 to 4"),
    "trial word": (["show", "digits-small", "best"], "'best' is not a valid integer"),
    "nothing to apply": (["apply"], "name either a study or a profile"),
    "both to apply": (["apply", "digits-small", "--profile", "x"], "name either a study or a profile"),
    "set without value": (["apply", "digits-small", "--set", "training.momentum"], "`--set` must be"),
    "set without key": (["apply", "digits-small", "--set", "=1"], "`--set` must be"),
    "set blank": (["apply", "digits-small", "--set", "training.momentum= "], "`--set` must be"),
    "set twice": (["apply", "digits-small", "--set", "a=1", "--set", "a =2"], "`a` occurs twice"),
    "set variable": (["apply", "digits-small", "--set", "training.momentun=1"], "did you mean `momentum`"),
    "set value": (["apply", "digits-small", "--set", "training.momentum=high"], "but got 'high'"),
    "set constraint": (["apply", "digits-small", "--set", "filters=7"], "`filters * conv_layers <= 6` must hold"),
    "trial form": (["train", "--trial", "digits-small"], "`--trial` must be STUDY:NUMBER"),
    "trial number": (["train", "--trial", "digits-small:x"], "`--trial` must be STUDY:NUMBER"),
    "trial empty": (["profile", "save", "p", "--trial", "digits-small:"], "`--trial` must be STUDY:NUMBER"),
    "no current configuration": (["train"], "nothing has been applied yet"),
    "no current configuration to save": (["profile", "save", "p"], "nothing has been applied yet"),
    "profile": (["train", "digits-best"], "there is no profile `digits-best`"),
    "profile and trial": (["train", "p", "--trial", "digits-small:0"], "cannot be combined"),
    "trial and from": (["profile", "save", "p", "--trial", "digits-small", "--from", "q"], "cannot be combined"),
    "profile name": (
        ["profile", "save", "../p", "--trial", "digits-small"],
        "a profile's name must be 1 to 64",
    ),
    "profile to show": (["profile", "show", "/etc/passwd"], "a profile's name must be 1 to 64"),
    "revision": (["profile", "diff", "a@b", "a"], "a revision must be a number"),
    "history of none": (["profile", "history", "none"], "there is no profile `none`"),
    "delete none": (["profile", "delete", "none", "--yes"], "there is no profile `none`"),
    "epochs": (["train", "--trial", "digits-small:0", "--epochs", "0"], "0 is not in the range"),
    "many epochs": (["train", "--trial", "digits-small:0", "--epochs", "99999"], "--epochs training.epochs"),
    "store": (["studies", "--store", "s4://x"], "the store must be a folder"),
    "verb": (["trails", "x"], "did you mean `trials`?"),
    "profile command": (["profile", "sav", "x"], "did you mean `save`?"),
    "option": (["trials", "digits-small", "--jsn"], "did you mean `--json`?"),
    "missing argument": (["trials"], "see `tune-app trials --help`"),
    "extra argument": (["trials", "digits-small", "x"], "unexpected extra argument"),
    "missing file": (["check", "no.yaml"], "No such file"),
    "folder for a file": (["check", "."], "got a folder"),
    "option value": (["check", "no.yaml", "--trials", "many"], "'many' is not a valid integer"),
}


@pytest.mark.parametrize("what", USER_MISTAKES)
def test_a_users_mistake_is_two_lines_and_exit_code_2(what: str, tune_app: Command) -> None:
    arguments, part = USER_MISTAKES[what]
    ran = tune_app(*arguments)
    assert ran.code == 2
    assert part in ran.error


INVALID_SPACES: dict[str, tuple[str, str]] = {
    "malformed": ("a: [", "YAML must be well-formed"),
    "empty": ("", "must hold a mapping, but got nothing"),
    "key": ("schema_version: 1\nnmae: x\n", "did you mean `name`"),
    "version": ("schema_version: 9\n", "schema_version"),
    "binary": ("\0\1", "a file must be YAML text"),
}


@pytest.mark.parametrize("what", INVALID_SPACES)
def test_an_invalid_space(what: str, tune_app: Command, tmp_path: Path) -> None:
    content, part = INVALID_SPACES[what]
    (tmp_path / "space.yaml").write_text(content)
    for json_ in ([], ["--json"]):
        ran = tune_app("check", "space.yaml", *json_)
        assert ran.code == 2
        assert part in ran.error
        assert "space.yaml" in ran.err


def test_a_file_instead_of_a_folder(tune_app: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = tune_app("studies", "--store", str(tmp_path / "file"))
    assert ran.code == 2
    assert "the store must be a folder" in ran.error
    ran = tune_app("apply", "digits-small", "--profiles", str(tmp_path / "file"))
    assert ran.code == 1
    assert "cannot write" in ran.error
    assert "--profiles" in ran.err


def test_debug_shows_the_traceback(tune_app: Command) -> None:
    for arguments in (["--debug", "trials", "none"], ["trials", "none", "--debug"]):
        ran = tune_app(*arguments)
        assert ran.code == 2
        assert "Traceback" in ran.err
        assert "error: there is no study `none`" in ran.err


def test_interrupts_exit_with_130(tune_app: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (KeyboardInterrupt(), Interrupted("stopped", hint="`tune-app resume x` continues")):

        def stop(self: object, error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr("tune_app.store.store.Store.studies", stop)
        ran = tune_app("studies")
        assert ran.code == 130
        assert len(ran.err.splitlines()) <= 2


def test_the_process_itself_exits_with_the_code(root: Path) -> None:
    done = shell("trials", "digits-smal", "--store", str(root))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: there is no study `digits-smal`")
    done = shell("show", "hopeless", "--store", str(root))
    assert (done.returncode, done.stdout) == (1, "")
    done = shell("trials", "digits-small", "--json", "--store", str(root))
    assert done.returncode == 0
    assert len(json.loads(done.stdout)) == 5


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full, a disk that is always full")
def test_output_on_a_full_disk() -> None:
    with open("/dev/full", "w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "tune_app", "strategies"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert ran.returncode == 1
    assert ran.stderr == "error: the disk of the output: the output needs disk space, but the disk is full\n"


def test_a_reader_that_goes_away_is_not_an_error(root: Path) -> None:
    command = f"{sys.executable} -m tune_app trials digits-small --json --store {root} | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=REPOSITORY)
    assert (done.stdout, done.stderr) == ("[", "")


def test_closed_output_is_not_an_error(root: Path) -> None:
    command = f"{sys.executable} -m tune_app trials digits-small --store {root} >&-"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=REPOSITORY)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_the_terminal_cannot_encode_is_escaped(root: Path) -> None:
    code = "import sys; from tune_app.standard_output import keep_steady; keep_steady(); print('caf\\udce9')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=REPOSITORY)
    assert (done.returncode, done.stdout) == (0, b"caf\\udce9\n")


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.name)
def test_a_shipped_space_loads(path: Path) -> None:
    assert load_spec(path).space.searched


def test_check(tune_app: Command) -> None:
    path = str(REPOSITORY / "search_spaces" / "digits_cnn.yaml")
    ran = tune_app("check", path)
    assert ran.code == 0
    assert [line.split(":")[0] for line in ran.out.splitlines()] == [
        "digits-cnn",
        "history",
        *["preflight"] * 4,
        "forecast",
    ]
    assert "40 trials, rungs at epochs 1, 4" in ran.out
    found = tune_app("check", path, "--json", "--trials", "7", "--set", "architecture.filters=8").json
    assert found["ok"] is True
    assert found["history"] == ["tune-app:digits_cnn"]
    assert found["forecast"]["trials"] == found["spec"]["budget"]["trials"] == 7
    assert found["spec"]["parameters"]["architecture"]["filters"] == 8
    assert [probe["label"] for probe in found["forecast"]["probes"]][:2] == ["smallest", "largest"]


def test_check_a_function_without_data_set_and_pruning(tune_app: Command, tmp_path: Path) -> None:
    (tmp_path / "rising.py").write_text(
        "def tune(config, report):\n    for epoch in range(report.epochs):\n        report({'score': epoch})\n"
    )
    (tmp_path / "rising.yaml").write_text(
        "schema_version: 1\nname: rising\ntask: rising:tune\nmetrics: {score: maximize}\n"
        "budget: {trials: 2, epochs: 2}\nparameters: {architecture: {width: {type: int, low: 1, high: 4}}}\n"
    )
    lines = tune_app("check", "rising.yaml", "--pruning", "off").out.splitlines()
    assert lines[0] == "rising: rising:tune, 1 variable searched: width"
    assert "forecast: 2 trials, no rungs: 4 epochs" in lines[-1]


def test_values_that_json_does_not_have(capfd: pytest.CaptureFixture[str]) -> None:
    import numpy as np
    import pandas as pd

    values = [float("nan"), float("inf"), np.float64("nan"), np.int64(3), pd.NA, pd.NaT, pd.Timestamp(0), None, True]

    @click.command()
    @options.json_option
    def command(as_json: bool) -> None:
        os.system("echo what a child process prints, which is no part of the document")
        options.print_json({"a": values, "b": (1, {"c": 2})})

    command.main(["--json"], standalone_mode=False)
    found = json.loads(capfd.readouterr().out)
    assert found == {"a": [None, None, None, 3, None, None, "1970-01-01T00:00:00", None, True], "b": [1, {"c": 2}]}
    assert [readable.shown(v) for v in values[:1] + values[3:6] + [0.123456, "x"]] == ["", "3", "", "", "0.1235", "x"]


def test_profiles_folder_from_the_environment(tune_app: Command, tmp_path: Path) -> None:
    tune_app("profile", "save", "mine", "--trial", "digits-small")
    assert Profiles().names() == ["mine"]
    assert (tmp_path / "profiles" / "mine.yaml").is_file()


def test_the_page_is_found_and_served(tmp_path: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "tune_app", "ui", "--port", "0", "--store", str(tmp_path / "results")],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert server.stderr is not None
    try:
        line = server.stderr.readline()
        assert line.startswith("starting the review page: http://127.0.0.1:"), line
        address = f"{line.split()[-1]}/_stcore/health"
        for _ in range(300):
            try:
                with urllib.request.urlopen(address, timeout=5) as answer:
                    assert answer.read() == b"ok"
                break
            except urllib.error.URLError:
                time.sleep(0.1)
        else:
            pytest.fail("the page did not answer in 30 s")
    finally:
        server.terminate()
        server.wait(20)
        server.stderr.close()


def test_the_page_is_not_open_to_others_without_a_token(tune_app: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TUNE_APP_API_TOKEN", raising=False)
    ran = tune_app("ui", "--host", "0.0.0.0", "--port", "0")
    assert ran.code == 2
    assert "a token is required if others can reach the server" in ran.error
    monkeypatch.setenv("TUNE_APP_API_TOKEN", "short")
    assert "a token must have at least 16" in tune_app("ui", "--host", "0.0.0.0", "--port", "0").error


@pytest.mark.parametrize(("host", "allowed"), [("0.0.0.0", ["*"]), ("127.0.0.2", ["localhost", "127.0.0.2"])])
def test_the_page_allows_the_hosts_that_it_listens_on(
    tune_app: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, allowed: list[str]
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda _, arguments: started.append(arguments))
    for name in ("TUNE_APP_API_TOKEN", "TUNE_APP_STORE", "TUNE_APP_PROFILES"):  # restored after the test
        monkeypatch.setenv(name, str(tmp_path))
    (tmp_path / "token").write_text("a-long-enough-token\n")
    tune_app("ui", "--host", host, "--port", "0", "--token-file", str(tmp_path / "token"))
    (arguments,) = started
    assert arguments[arguments.index("--server.address") + 1] == host
    given = [value for name, value in pairwise(arguments) if name == "--server.allowedHosts"]
    assert set(allowed) <= set(given)
    assert ("*" in given) == (host == "0.0.0.0")
    assert os.environ["TUNE_APP_API_TOKEN"] == "a-long-enough-token"


def test_another_tuners_sweep_file_is_printed_as_a_search_space(tune_app: Command, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(
        "program: train.py\nmetric: {name: val_loss}\nproject: mine\n"
        'parameters: {lr: {min: 0.0, max: 1.0}, kind: {values: ["a\\Nb", é]}}\n'  # \N: a line break in YAML 1.1
    )
    ran = tune_app("import", str(sweep))
    assert ran.code == 0
    assert "note: `project` has no equivalent" in ran.err
    space = tmp_path / "space.yaml"
    space.write_text(ran.out)
    searched = load_spec(space).space.searched
    assert list(searched) == ["lr", "kind"]
    assert searched["kind"].choices == ("a\x85b", "é")
    sweep.write_text(sweep.read_text().replace("min: 0.0", "min: 2.0"))
    assert "`min` must be below `max`, but got 2.0 and 1.0" in tune_app("import", str(sweep)).err
