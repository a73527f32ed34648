"""The example of a user's own task, used as docs/own_task.md describes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tune_app.tasks import task as contract
from tune_app.tasks.contract import PARTS

DOCS = Path(__file__).parents[2] / "docs"


def test_the_example_is_tuned_even_next_to_a_file_named_like_a_python_module(
    command: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    """torch imports Python's own `profile` module; the check and the workers must both find that one."""
    for file in (DOCS / "own_task").iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    (tmp_path / "profile.py").write_text("raise ValueError('this is no module of Python')\n")
    process = command("run", "space.yaml", "--trials", "4", "--json", cwd=tmp_path)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    found = json.loads(out)
    assert sum(found["states"].values()) == 4
    assert found["states"].get("FAILED", 0) == 0
    assert found["best"]["objective"] > 0.9


def test_the_page_names_every_part_of_the_contract() -> None:
    text = (DOCS / "own_task.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(\w+)|, `(\w+)\(", text, flags=re.MULTILINE))
    words = {word for pair in named for word in pair}
    optional = {
        name
        for kind in (contract.Preparing, contract.Probed, contract.Sampling, contract.Paced)
        for name in (*vars(kind), *kind.__annotations__)
        if not name.startswith("_")
    }
    assert set(PARTS) | optional <= words


def test_the_example_is_as_short_as_the_page_says() -> None:
    lines = (DOCS / "own_task" / "tabular_mlp.py").read_text(encoding="utf-8").splitlines()
    assert sum(bool(line.strip()) for line in lines) <= 60
