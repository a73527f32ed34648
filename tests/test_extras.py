"""The base install: commands that need an extra say so, a sweep needs none, and pyproject.toml matches extras.py."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tune_app.extras import EXTRAS

ROOT = Path(__file__).parents[1]
HIDING = """
import sys
sys.modules.update(dict.fromkeys({hidden!r}))
from tune_app.cli.main import main
main({arguments!r})
"""
IMPORTED_AS = {"scikit-learn": "sklearn"}
ALL = [package for packages in EXTRAS.values() for package in packages]


def tune_app_without(hidden: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as if these packages were not installed."""
    code = HIDING.format(hidden=hidden, arguments=list(arguments))
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("hidden", "arguments", "extra"),
    [
        ("streamlit", ("ui",), "ui"),
        ("plotly", ("report", "any"), "ui"),
        ("jinja2", ("report", "any"), "ui"),
        ("sklearn", ("report", "any"), "ui"),
        ("fastapi", ("serve",), "api"),
        ("websockets", ("serve",), "api"),
    ],
)
def test_a_command_without_its_extra_says_so_in_two_lines(hidden: str, arguments: tuple[str, ...], extra: str) -> None:
    done = tune_app_without([hidden], *arguments)
    first, second = done.stderr.splitlines()
    assert f"`tune-app {arguments[0]}` needs {hidden}, which is not installed" in first
    assert second.strip() == f"install tune-app[{extra}]"
    assert (done.returncode, done.stdout) == (2, "")


def test_a_sweep_and_its_results_need_no_extra(tmp_path: Path) -> None:
    store, space = ("--store", str(tmp_path)), str(ROOT / "search_spaces/digits_cnn.yaml")
    given = ("--trials", "1", "--epochs", "1", "--name", "small", "--no-preflight")
    done = tune_app_without(ALL, "run", space, *given, *store)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if "TensorBoard" in line]
    assert said == ["no TensorBoard files: tensorboardX is not installed; install tune-app[tensorboard]"]
    assert not (tmp_path / "studies/small/tensorboard").exists()
    assert tune_app_without(ALL, "trials", "small", *store).returncode == 0


def test_pyproject_names_every_extra_and_its_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    base = {Requirement(line).name.lower() for line in project["dependencies"]}
    for extra, packages in EXTRAS.items():
        named = {IMPORTED_AS.get(name, name) for name in (Requirement(line).name for line in extras[extra])}
        assert set(packages) <= named
        assert not named & base
    assert extras["all"] == [f"tune-app[{','.join(EXTRAS)}]"]
    assert "tune-app[all]" in extras["dev"]


def test_the_lock_has_a_version_within_the_bounds_of_every_requirement() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    outside_the_lock = [*extras.pop("frameworks"), *extras.pop("gpu")]
    assert all("==" in line for line in outside_the_lock), "their versions are pinned separately"
    lines = [*project["dependencies"], *(line for extra in extras.values() for line in extra)]
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = {_plain(name): version for name, version in re.findall(r"^(.+)==(.+)$", lock, re.MULTILINE)}
    for line in lines:
        wanted = Requirement(line)
        if wanted.name != "tune-app":
            assert wanted.specifier.contains(locked[_plain(wanted.name)]), line


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
