"""Where results come from: code, versions, machine and data, as recorded with every study and profile."""

from __future__ import annotations

import getpass
import importlib.metadata
import platform
import socket
import subprocess
from typing import Any

PACKAGES = ("tune-app", "ray", "optuna", "torch", "numpy", "pyarrow")


def code() -> dict[str, Any]:
    """The git commit of the working folder, if any, and the versions of the relevant packages."""
    return {"git_commit": git_commit(), "versions": {"python": platform.python_version(), **_versions()}}


def machine() -> dict[str, Any]:
    """The machine that drives the sweep."""
    return {"host": socket.gethostname(), "system": platform.platform()}


def git_commit() -> str | None:
    """The commit of the working folder, with ``-dirty`` if tracked files differ; None outside a git checkout."""
    try:
        commit = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return commit.stdout.strip()


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def user_name() -> str:
    """The current user, such as ``ada@host``."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # a container may have no name for its user
        return socket.gethostname()
