"""Catalogs of tasks. Those of our tasks are next to this file as JSON: reading one imports neither the task nor torch.

    python -m tune_app.tasks.catalogs

rewrites them after one of our tasks changes; a test compares them with the tasks.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tune_app.spaces.catalog import Catalog
from tune_app.spaces.script import SCRIPT
from tune_app.tasks import TASKS, load_task

if TYPE_CHECKING:
    from tune_app.tasks.task import Task

FOLDER = Path(__file__).with_name("catalogs")


def load_catalog(name: str) -> Catalog:
    """The catalog of the task `name`: one of ours, a script's, or that of a user's class, which is imported.

    Raises:
        InputError: as `load_task`.
    """
    if name in TASKS:
        path = FOLDER / f"{name}.json"
        return Catalog.from_dict(json.loads(path.read_text(encoding="utf-8")), str(path))
    if name == SCRIPT:  # the search space has the rest
        return Catalog(name, (), open=True)
    return catalog_of(load_task(name), name)


def catalog_of(task: Task | type[Task], name: str) -> Catalog:
    """The catalog of a loaded task with this `name`."""
    found = getattr(task, "catalog", None)
    if isinstance(found, Catalog):  # of a function or a script, created from the search space
        return found
    return Catalog(
        task=name,
        variables=tuple(task.variables),
        constraints=tuple(task.constraints),
        metrics=dict(task.metrics),
        data_parallel=bool(getattr(task, "data_parallel", False)),
        open=getattr(task, "open", False) is True,
    )


def write_catalogs() -> None:
    """Write the catalogs of our tasks."""
    for name in TASKS:
        text = json.dumps(catalog_of(load_task(name), name).to_dict(), indent=1, ensure_ascii=False)
        (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_catalogs()
