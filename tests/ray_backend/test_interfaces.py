"""The list of Ray's developer interfaces is complete, and each one exists."""

from __future__ import annotations

import ast
import pkgutil
from pathlib import Path

import pytest

from tune_app.ray_backend.interfaces import INTERFACES

ROOT = Path(__file__).parents[2]
INTERNAL = (
    "ray._private",
    "ray._raylet",
    "ray.air",
    "ray.autoscaler",
    "ray.experimental",
    "ray.train",
    "ray.tune.execution",
)


def internal_names() -> set[str]:
    """What the package imports from Ray's internals."""
    found: set[str] = set()
    for path in (ROOT / "tune_app").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(INTERNAL):
                found.update(f"{node.module}.{alias.name}" for alias in node.names)
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names if alias.name.startswith(INTERNAL))
    return found


def test_every_name_from_rays_internals_is_listed() -> None:
    assert internal_names() <= INTERFACES.keys()


@pytest.mark.parametrize("name", INTERFACES)
def test_an_interface_exists_and_so_does_its_test(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    assert pkgutil.resolve_name(f"{module}:{attribute}") is not None
    assert (ROOT / INTERFACES[name]).is_file()
