"""A full training of a script: its folder and its output are next to the record, even in an object store."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tune_app.document import Document
from tune_app.errors import InputError, WorkFailed
from tune_app.folder import open_folder
from tune_app.profiles.profile import Profile
from tune_app.profiles.train import train
from tune_app.store.store import Store
from tune_app.tasks.spec_file import read_spec

SCRIPT = """
import pathlib, sys
out = pathlib.Path(sys.argv[1])
for step in range(1, 3):
    print("step", step, "loss", 1 / step)
(out / "models").mkdir()
(out / "models" / "last").write_text("whole")
sys.exit(int(sys.argv[2].partition("=")[2]))
"""


def profile(tmp_path: Path, code: int, program: str = sys.executable) -> Profile:
    (tmp_path / "train.py").write_text(SCRIPT)
    document: dict[str, Any] = {
        "schema_version": 1,
        "name": "mine",
        "task": "script",
        "command": [program, str(tmp_path / "train.py"), "{trial_folder}"],
        "report": {"stdout": r"step (?P<step>\d) loss (?P<loss>\S+)"},
        "metrics": {"loss": "minimize"},
        "resume": ["--resume"],
        "parameters": {"training": {"code": {"type": "int", "low": 0, "high": 9}}},
    }
    return Profile("mine", read_spec(Document.of(document, "space")).catalog, "none", {"code": code})


@pytest.mark.parametrize("remote", [False, True])
def test_it_leaves_its_folder_and_its_output(tmp_path: Path, remote: bool, request: pytest.FixtureRequest) -> None:
    root = request.getfixturevalue("s3_url") if remote else str(tmp_path / "results")
    trained = train(profile(tmp_path, 0), Store(root), epochs=2, seed=1, name="once")
    assert trained.metrics["loss"] == 0.5
    folder = open_folder(root)
    assert folder.read("trainings/once/files/models/last") == b"whole"
    assert b"step 2 loss 0.5\n" in (folder.read("trainings/once/output.log") or b"")
    assert json.loads(folder.read("trainings/once/metrics.json") or b"")["metrics"]["loss"] == 0.5
    assert (folder.size("trainings/once/checkpoint.pt") or 0) < 10_000  # the folder is next to it


def test_a_training_that_fails_while_it_saves_keeps_its_files(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    with pytest.raises(WorkFailed, match=r"trained and saved, but measuring it failed.*exit code 3"):
        train(profile(tmp_path, 3), store, epochs=2, seed=1, name="once")
    assert store.folder.read("trainings/once/files/models/last") == b"whole"


@pytest.mark.parametrize("remote", [False, True])
def test_a_training_that_fails_keeps_what_its_script_wrote_and_says_where(
    tmp_path: Path, remote: bool, request: pytest.FixtureRequest
) -> None:
    store = Store(request.getfixturevalue("s3_url") if remote else str(tmp_path / "results"))
    with pytest.raises(WorkFailed, match="must report 5 epochs, but ended after 2") as told:
        train(profile(tmp_path, 0), store, epochs=5, seed=1, name="once")
    assert told.value.hint.count("trainings/once/") == 2
    assert store.folder.names("trainings/once") == ["files", "output.log"]
    assert store.folder.read("trainings/once/files/models/last") == b"whole"
    assert b"step 2 loss 0.5\n" in (store.folder.read("trainings/once/output.log") or b"")
    with pytest.raises(InputError, match=r"failed, but its script left .*trainings/once/files"):
        train(profile(tmp_path, 0), store, epochs=2, seed=1, name="once")


def test_a_training_whose_script_never_started_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    with pytest.raises(InputError, match="there is no `pyton` on the PATH"):
        train(profile(tmp_path, 0, "pyton"), store, epochs=5, seed=1, name="once")
    assert store.folder.names("trainings") == []
