"""What may be named over HTTP: users' own classes, and folders of data.

A class that is named is imported, which runs code, the command of a script is run, and a path that is named is read. On
the command line all of them belong to whoever types; over HTTP to the server, whose owner lists what may be named.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tune_app.errors import InputError
from tune_app.spaces.script import SCRIPT
from tune_app.tasks import TASKS


@dataclass(frozen=True)
class Admission:
    """What the server's owner listed.

    Attributes:
        classes: tasks as ``package.module:Class``; ``script`` among them lets in any command.
        folders: folders in which data may lie.
    """

    classes: Sequence[str] = ()
    folders: Sequence[str] = ()

    def check(self, task: object, dataset: object, where: str) -> None:
        """Refuse a task or a data set that may not be named; what is no name or path at all is for others to refuse.

        Nothing is imported or read for that.

        Raises:
            InputError: the task is neither ours nor listed, or the data set's `path` lies in no listed folder.
        """
        if isinstance(task, str) and task not in TASKS and task not in self.classes:
            raise InputError(
                f"`task` must be one of {', '.join([*TASKS, *self.classes])} over HTTP, but got `{task:.200}`",
                where=f"{where} task",
                hint="whoever runs the server lets one in with `tune-app serve --allow-class "
                + (f"{SCRIPT}`, which lets in any command" if task == SCRIPT else "package.module:Class`"),
            )
        path = dataset.get("path") if isinstance(dataset, dict) else None
        if isinstance(path, str) and not self._inside(path):
            listed = " or ".join(self.folders) or "a folder that the server lists"
            raise InputError(
                f"over HTTP, `path` must lie in {listed}, but got `{path:.200}`",
                where=f"{where} dataset.path",
                hint="whoever runs the server lets a folder in with `tune-app serve --data-folder FOLDER`",
            )

    def may_import(self, task: str) -> bool:
        """Whether a user's own task may be imported."""
        return task in self.classes

    def _inside(self, path: str) -> bool:
        """Whether `path` lies in one of the folders when all links are followed."""
        try:
            real = Path(os.path.realpath(os.path.expanduser(path)))
            return any(real.is_relative_to(os.path.realpath(folder)) for folder in self.folders)
        except ValueError:  # a null byte
            return False
