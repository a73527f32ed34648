"""The command `init`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click

from tune_app.errors import Conflict
from tune_app.shipped import shipped_folder

NOTEBOOK = "analysis.ipynb"
MADE = {
    "space.yaml": "what to search; every key has a comment",
    "train.py": "a training function to fill in; it runs as is",
    NOTEBOOK: "a notebook that analyzes the results",
}


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=".")
def init(folder: Path) -> None:
    """Create a project in FOLDER (the current folder by default): a search space, a training function, a notebook."""
    taken = [name for name in MADE if (folder / name).exists()]
    if taken:
        raise Conflict(
            f"`init` never overwrites files, but the folder already has {' and '.join(taken)}",
            where=str(folder),
            hint="name another folder, such as `tune-app init my-project`",
        )
    try:
        _make(folder)
    except OSError as error:
        from tune_app.folder import cannot_write

        raise cannot_write(folder, error, "FOLDER") from error
    for name, what in MADE.items():
        click.echo(f"created {folder / name}: {what}")
    click.echo()
    if folder.resolve() != Path.cwd():
        click.echo(f"cd {folder}")
    click.echo("tune-app check space.yaml     # tries it for a few seconds")
    click.echo("tune-app run space.yaml")


def _make(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in MADE:
        if name != NOTEBOOK:
            shutil.copyfile(shipped_folder("starter") / name, folder / name)
    notebook = json.loads((shipped_folder("notebooks") / NOTEBOOK).read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":  # its outputs are from another study
            cell.update(outputs=[], execution_count=None)
    (folder / NOTEBOOK).write_text(json.dumps(notebook, indent=1) + "\n", encoding="utf-8")
