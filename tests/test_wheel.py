"""A wheel as users install it: in a separate environment, outside the checkout."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
OUTSIDE = {
    name: value for name, value in os.environ.items() if name != "PYTHONPATH" and not name.startswith("TUNE_APP_")
}
Shell = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, because setuptools leaves a folder `build` with the contents of an earlier wheel."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheels")
    for folder in ("tune_app", *SETTINGS["package-dir"].values()):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / file, source)
    (source / "profiles" / "mine.yaml").write_text("name: mine\n")  # the builder's own profile
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out), str(source))
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def tune_app(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """The command in an environment that has the wheel and borrows its dependencies from this one."""
    home = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    python = home / "bin" / "python"
    pip("--python", python, "install", "--no-deps", "--no-index", str(wheel))
    # A line in a .pth file adds only the folder: .pth files in it, such as this checkout's, are not read.
    (site,) = home.glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [str(home / "bin" / "tune-app"), *arguments]
        return subprocess.run(
            command, cwd=cwd, env={**OUTSIDE, **environment}, capture_output=True, text=True, timeout=120
        )

    return run


def pip(*arguments: object) -> None:
    """Run pip and show its output if it fails."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    done = subprocess.run(command, env=OUTSIDE, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_holds_the_folders_next_to_the_package_and_none_of_the_builders_files(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for package, folder in SETTINGS["package-dir"].items():
        tracked = subprocess.run(["git", "ls-files", folder], cwd=ROOT, capture_output=True, text=True, check=True)
        files = {file.removeprefix(f"{folder}/") for file in tracked.stdout.split()} - {"README.md"}
        assert {name.removeprefix(f"{package}/") for name in names if name.startswith(f"{package}/")} == files


def test_help_is_fast(tune_app: Shell, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = tune_app("--help", cwd=tmp_path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (done.returncode, done.stderr) == (0, "")
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


def test_a_new_project_from_init_runs(tune_app: Shell, tmp_path: Path) -> None:
    made = tune_app("init", "mine", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["analysis.ipynb", "space.yaml", "train.py"]
    again = tune_app("init", "mine", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (2, "")
    assert "but the folder already has space.yaml and train.py and analysis.ipynb" in again.stderr
    ran = tune_app("run", "space.yaml", "--trials", "3", "--epochs", "2", "--json", cwd=tmp_path / "mine")
    assert ran.returncode == 0, ran.stderr
    assert sum(json.loads(ran.stdout)["states"].values()) == 3


def test_spaces_and_profiles_are_found_by_name(tune_app: Shell, tmp_path: Path) -> None:
    checked = tune_app("check", "digits_cnn", "--json", cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout)["spec"]["name"] == "digits-cnn"
    missed = tune_app("check", "digit_cnn", cwd=tmp_path)
    assert missed.returncode == 2
    assert "did you mean `digits_cnn`?" in missed.stderr
    shown = tune_app("profile", "show", "digits-example", "--json", cwd=tmp_path)
    assert json.loads(shown.stdout)["name"] == "digits-example"
    assert list(tmp_path.iterdir()) == []


def test_the_shell_completes_commands_and_spaces(tune_app: Shell, tmp_path: Path) -> None:
    script = tune_app(cwd=tmp_path, _TUNE_APP_COMPLETE="bash_source")
    assert script.returncode == 0
    assert "complete -o nosort -F _tune_app_completion tune-app" in script.stdout
    words = {"_TUNE_APP_COMPLETE": "bash_complete", "COMP_WORDS": "tune-app run digits", "COMP_CWORD": "2"}
    assert "plain,digits_cnn" in tune_app(cwd=tmp_path, **words).stdout.splitlines()
