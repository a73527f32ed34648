"""The order of the modules, and who may import the heavy packages: docs/structure.md, held."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tune_app"
ORDER_TEXT = """
    errors readable variable expression catalogue distribution feasibility space
    dataset datasets tasks
    document strategy section objective parameters spec pruning
    health diagnosis reading host_memory trial preflight
    folder provenance store study_writer
    search optuna_journal tensorboard_log schedule
    epoch_progress preparation rank group worker cluster autoscaling slots gpu_share controller recorder fuse sweep
    review selection importance plots profile draft warm_start live_training training_record train architecture weights
    inspection trial_plots report
    job job_store job_request job_runner job_folder job_head jobs
    api progress cli __main__
"""
ORDER = ORDER_TEXT.split()
HEAVY = {
    "ray": "search schedule epoch_progress preparation rank group worker cluster autoscaling slots"
    " gpu_share controller recorder sweep job_folder job_head jobs",
    "torch": "tasks reading trial architecture weights inspection",
    "streamlit": "",
}


def modules() -> dict[str, list[Path]]:
    """Files by module of the order; a package counts as one."""
    found: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if name != "__init__":
            found.setdefault(name, []).append(path)
    return found


def imports(path: Path) -> set[str]:
    """What a file imports when it runs, wherever in the file; imports for type checking do not count."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found.update(names if node.module == "tune_app" else [node.module])
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


def test_every_module_has_its_place() -> None:
    assert set(modules()) == set(ORDER)


@pytest.mark.parametrize("module", ORDER)
def test_a_module_imports_only_from_modules_before_it(module: str) -> None:
    allowed = set(ORDER[: ORDER.index(module) + 1]) | {"__version__"}
    for path in modules()[module]:
        own = {name.split(".")[1] for name in imports(path) if name.startswith("tune_app.")}
        assert own <= allowed, f"{path.name} imports {sorted(own - allowed)}"


@pytest.mark.parametrize("package", HEAVY)
def test_a_heavy_package_is_imported_only_where_it_belongs(package: str) -> None:
    users = {
        module
        for module, paths in modules().items()
        for path in paths
        if any(name.split(".")[0] == package for name in imports(path))
    }
    assert users == set(HEAVY[package].split())


def test_structure_md_gives_every_module_a_line() -> None:
    text = (ROOT / "docs" / "structure.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_]+)(?:\.py|/)`", text))
    assert set(ORDER) - {"__main__"} <= named


def test_cli_md_is_what_the_commands_say() -> None:
    namespace: dict[str, object] = {"__name__": "make_cli", "__file__": "make_cli.py"}
    exec(compile((ROOT / "docs" / "make_cli.py").read_text(encoding="utf-8"), "make_cli.py", "exec"), namespace)
    reference = namespace["reference"]
    assert callable(reference)
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == reference(), "run `make docs`"


def test_pyproject_names_every_package() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("__init__.py")}
    assert set(settings["packages"]) == {*found, "tune_app_ui"}
