"""Enforces docs/structure.md: the order of the rooms, and which files may import the heavy packages."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tune_app"
ORDER = "spaces datasets tasks training store search sweep ray_backend results profiles jobs api cli notebook"
ROOMS = ["root", *ORDER.split()]
"""A room imports from itself and the rooms before it."""
HEAVY = {
    "ray": {
        "search/study_search.py",
        "search/schedule.py",
        "search/halving.py",
        "ray_backend/",
        "jobs/",
        "notebook/run.py",
    },
    "torch": {"tasks/", "training/", "results/network/", "lightning.py", "transformers.py"},
    "lightning": {"lightning.py"},
    "transformers": {"transformers.py"},
    "streamlit": set(),
}
ADDRESS = re.compile(r"tune_app(\.\w+)+(:\w+)?(,tune_app(\.\w+)+)*")
"""A string that names a module, as in ``python -m`` and in tables of lazily imported names."""


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return "root" if len(parts) == 1 else parts[0]


def named_modules(path: Path) -> set[str]:
    """Everything that a file imports or names, anywhere and for any reason: type checking and strings count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and ADDRESS.fullmatch(node.value):
            found.update(re.split("[,:]", node.value))
    return found


def own_room(module: str) -> str:
    """The room of a module named ``tune_app.…``."""
    second = module.split(".")[1]
    return second if (PACKAGE / second).is_dir() else "root"


FILES = sorted(PACKAGE.rglob("*.py"))
EDGE = {"__main__.py": "cli", "__init__.py": "notebook", "lightning.py": "tasks", "transformers.py": "tasks"}
"""Files in the root that belong to a later room: the command, the public API, and the adapters, which users import by
the name of the package that each one supports."""


def test_every_folder_is_a_room() -> None:
    assert {room_of(path) for path in FILES} == set(ROOMS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_from_its_room_and_rooms_before_it(path: Path) -> None:
    room = EDGE.get(path.name, room_of(path)) if path.parent == PACKAGE else room_of(path)
    allowed = set(ROOMS[: ROOMS.index(room) + 1])
    used = {own_room(name) for name in named_modules(path) if name.startswith("tune_app.")}
    assert used <= allowed, f"{path.name} of {room} uses {sorted(used - allowed)}"


@pytest.mark.parametrize("room", ROOMS)
def test_no_two_files_import_each_other(room: str) -> None:
    files = [path for path in FILES if room_of(path) == room]
    graph: dict[str, set[str]] = {}
    for path in files:
        me = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        imported = {n for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) for n in _imported(node)}
        graph[me] = imported
    for me, imported in graph.items():
        for other in imported & graph.keys():
            assert me == other or me not in graph[other], f"{me} and {other} import each other"


def _imported(node: ast.AST) -> set[str]:
    if isinstance(node, ast.ImportFrom) and node.module:
        return {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return set()


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "root"])
def test_every_room_has_a_docstring(room: str) -> None:
    assert ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8")))


@pytest.mark.parametrize("package", HEAVY)
def test_a_heavy_package_is_imported_only_where_it_belongs(package: str) -> None:
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in FILES
        if any(name.split(".")[0] == package for name in named_modules(path))
    }
    others = {user for user in users if not user.startswith(tuple(HEAVY[package]))} if HEAVY[package] else users
    assert not others


def test_structure_md_describes_every_room_and_file() -> None:
    text = (ROOT / "docs" / "structure.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_]+)(?:\.py|/)`", text))
    modules = {path.stem for path in FILES if room_of(path) not in ("api", "cli", "datasets", "tasks")}
    assert set(ROOMS) - {"root"} <= named
    assert modules - {"__main__", "__init__"} <= named


def test_cli_md_matches_the_commands() -> None:
    namespace: dict[str, object] = {"__name__": "make_cli", "__file__": "make_cli.py"}
    exec(compile((ROOT / "docs" / "make_cli.py").read_text(encoding="utf-8"), "make_cli.py", "exec"), namespace)
    reference = namespace["reference"]
    assert callable(reference)
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == reference(), "run `make docs`"


def test_pyproject_names_every_package() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("__init__.py")}
    shipped = settings["package-dir"]
    assert set(settings["packages"]) == {*found, *shipped}
    assert {name: f"tune_app_{name}" for name in shipped.values()} == {f: name for name, f in shipped.items()}


def test_pyproject_names_every_file_that_is_not_a_module() -> None:
    """A wheel holds only these files; a checkout hides a forgotten one."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    patterns = settings["package-data"]
    shipped = {
        path
        for package, globs in patterns.items()
        if package not in settings["package-dir"]
        for pattern in globs
        for path in (ROOT / package.replace(".", "/")).glob(pattern)
    }
    files = {p for p in PACKAGE.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")}
    assert files == {path for path in shipped if path.is_file()}
