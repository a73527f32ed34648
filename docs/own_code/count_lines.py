"""Writes the table of README.md in this folder: lines that are neither empty nor comments nor docstrings, per file.

`python docs/own_code/count_lines.py` writes it; with `--check` it says whether it is up to date.
"""

import ast
import sys
from pathlib import Path

HERE = Path(__file__).parent
README = HERE / "README.md"
BEGIN, END = "<!-- lines -->\n", "<!-- end of lines -->\n"
BAR = 1.2


def docstring_lines(source: str) -> set[int]:
    """The numbers of the lines of all docstrings, from 1."""
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, owners) and ast.get_docstring(node) is not None:
            found.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return found


def lines(path: Path) -> int:
    """The number of lines of code in a Python or YAML file."""
    source = path.read_text(encoding="utf-8")
    skipped = docstring_lines(source) if path.suffix == ".py" else set()
    numbered = enumerate(source.splitlines(), 1)
    return sum(bool(line.strip()) and not line.strip().startswith("#") and n not in skipped for n, line in numbered)


def table() -> str:
    """The table in Markdown."""
    rows = ["| example | function | `space.yaml` | total | Ray Tune | ratio | Optuna |", "| --- " * 7 + "|"]
    for folder in sorted(path.parent for path in HERE.glob("*/raytune.py")):
        function, space, ray, optuna = (
            lines(folder / name) for name in ("train.py", "space.yaml", "raytune.py", "optuna_study.py")
        )
        ratio = (function + space) / ray
        met = f"{ratio:.2f}" if ratio <= BAR else f"**{ratio:.2f}**"
        link = f"[{folder.name}]({folder.name}/)"
        rows.append(f"| {link} | {function} | {space} | {function + space} | {ray} | {met} | {optuna} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    before, rest = README.read_text(encoding="utf-8").split(BEGIN)
    written = before + BEGIN + table() + END + rest.split(END)[1]
    if "--check" in sys.argv:
        current = written == README.read_text(encoding="utf-8")
        sys.exit(0 if current else f"{README.name} is not up to date: run {Path(__file__).name}")
    README.write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main()
