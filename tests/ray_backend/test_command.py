"""The README's steps as a user follows them: one real sweep on real data, then show, apply, profile, and train."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).parents[2]


class Shell:
    """Runs `tune-app` from the project's folder with its own store and profiles."""

    def __init__(self, folder: Path) -> None:
        self.store = folder / "results"
        self.profiles = folder / "profiles"

    def __call__(self, *arguments: str, profiles: bool = False) -> str:
        given = [*arguments, "--store", str(self.store)] + (["--profiles", str(self.profiles)] if profiles else [])
        done = subprocess.run(
            [sys.executable, "-m", "tune_app", *given], cwd=ROOT, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A shell after a sweep of the shipped space with few trials, on a separate Ray node."""
    found = Shell(tmp_path_factory.mktemp("command"))
    found("run", "search_spaces/digits_cnn.yaml", "--trials", "6", "--epochs", "3", "--concurrent", "2", profiles=True)
    return found


def test_the_sweep_trained_real_models(shell: Shell) -> None:
    trials = pd.read_parquet(shell.store / "trials" / "study=digits-cnn")
    assert len(trials) == 6
    assert set(trials["state"]) <= {"COMPLETED", "PRUNED"}
    assert trials["objective"].max() > 0.5
    assert len([c for c in trials.columns if c.startswith("config/")]) == 34


def test_training_a_trial_again_gives_its_metrics_to_the_last_digit(shell: Shell) -> None:
    trials = pd.read_parquet(shell.store / "trials" / "study=digits-cnn")
    row = trials[trials["state"] == "COMPLETED"].iloc[0]
    trained = json.loads(shell("train", "--trial", f"digits-cnn:{row['trial']}", "--json", profiles=True))
    metrics = {c.removeprefix("metric/"): row[c] for c in trials.columns if c.startswith("metric/")}
    assert {name: trained["metrics"][name] for name in metrics} == metrics
    assert trained["config"] == {c.split("/")[2]: row[c] for c in trials.columns if c.startswith("config/")}


def test_an_edited_trial_becomes_a_profile_that_trains(shell: Shell) -> None:
    edit = ("--set", "training.learning_rate=0.0123")
    shell("apply", "digits-cnn", *edit, profiles=True)
    shell("profile", "save", "digits-best", "--trial", "digits-cnn", *edit, profiles=True)
    saved = yaml.safe_load((shell.profiles / "digits-best.yaml").read_text())
    assert saved["config"]["training"]["learning_rate"] == 0.0123
    assert saved["provenance"]["edited"]["training.learning_rate"]["saved"] == 0.0123
    flat = {name: value for group in saved["config"].values() for name, value in group.items()}
    for chosen in (["digits-best"], []):
        trained = json.loads(shell("train", *chosen, "--epochs", "1", "--json", profiles=True))
        assert trained["config"] == {**flat, "epochs": 1}
        assert (Path(trained["folder"]) / "checkpoint.pt").is_file()
        assert 0 <= trained["metrics"]["test_accuracy"] <= 1


def test_the_tutorials_commands_do_what_it_says(shell: Shell, tmp_path: Path) -> None:
    """Run the commands unchanged on the fixture's study; `tests/test_docs.py` checks the options of all of them."""
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S) for line in block.splitlines()]
    words = [shlex.split(line, comments=True) for line in lines if line.startswith("tune-app ")]
    ours = {"TUNE_APP_STORE": str(shell.store), "TUNE_APP_PROFILES": str(tmp_path), "PYTHONPATH": str(ROOT)}
    ran = []
    for _, verb, *rest in words:
        if verb not in ("trials", "show", "note", "profile"):  # other tests run the slow ones
            continue
        command = [sys.executable, "-m", "tune_app", verb, *rest]
        done = subprocess.run(command, cwd=tmp_path, env={**os.environ, **ours}, capture_output=True, text=True)
        assert done.returncode == 0, f"{verb} {rest}: {done.stderr}"
        ran.append(verb)
    assert ran == ["trials", "show", "note", "profile"]
    assert "learning_rate: 0.02\n" in (tmp_path / "digits-best.yaml").read_text()


def test_the_study_opens_in_optuna_dashboard(shell: Shell) -> None:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    dashboard = pytest.importorskip("optuna_dashboard")
    path = shell.store / "studies" / "digits-cnn" / "optuna.journal"
    app: Any = dashboard.wsgi(JournalStorage(JournalFileBackend(str(path))))
    status: list[str] = []
    environ = {
        "REQUEST_METHOD": "GET", "PATH_INFO": "/api/studies", "QUERY_STRING": "", "SERVER_NAME": "x",
        "SERVER_PORT": "80", "wsgi.url_scheme": "http",
    }  # fmt: skip
    body = b"".join(app(environ, lambda line, headers, *rest: status.append(line)))
    assert status[0].startswith("200")
    assert json.loads(body)["study_summaries"][0]["study_name"] == "digits-cnn"
