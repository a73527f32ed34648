"""Tests the newest releases of our dependencies, beyond the upper bounds of pyproject.toml: `make canary`.

It runs in a separate environment, ``.venv-canary``, and installs the newest release of everything except torch, whose
newest would pull in CUDA. Then it runs the tests that pin Ray's developer interfaces, and the fast ones.
"""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
SUITES = ["ray_backend", "search", "spaces", "store", "tasks", "results", "api", "ui", "test_folder.py"]


def newest_requirements() -> list[str]:
    """What pyproject.toml requires, extras included, without its upper bounds."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    return [re.sub(r",?<[^,]+", "", line) for line in lines if not line.startswith("tune-app[")]


def changed_versions() -> list[str]:
    """Packages whose installed version differs from requirements.lock."""
    changed = []
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines():
        name, locked = line.split("==")
        try:
            found = importlib.metadata.version(name).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            found = "absent"
        if found != locked:
            changed.append(f"{name}: {locked} -> {found}")
    return changed


def main(torch: str) -> int:
    """Install, compare, and test; returns the exit status of the tests."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]
    subprocess.run([*pip, "setuptools", torch, *newest_requirements()], check=True)
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "-e", str(ROOT)], check=True)
    print("newer than requirements.lock:", *changed_versions(), sep="\n  ", flush=True)
    # Warnings from new releases are shown but don't fail the run.
    tests = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rfE",
        "--tb=line",
        "-W",
        "default",
        "-n",
        "3",
        "--dist",
        "loadfile",
        "--max-worker-restart=0",  # pytest-xdist would hang after a crash
    ]
    return subprocess.run([*tests, *(f"tests/{suite}" for suite in SUITES)], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
