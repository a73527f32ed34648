"""What requests may use over HTTP: users' own classes, and folders of data.

A named class is imported, which runs code, the command of a script is run, and a named path is read. On the command
line, all of them belong to the user; over HTTP they belong to the server, whose owner lists what is allowed.
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
    """What the server's owner allowed.

    Attributes:
        classes: tasks as ``package.module:Class``; ``script`` allows any command.
        folders: folders that may contain data.
    """

    classes: Sequence[str] = ()
    folders: Sequence[str] = ()

    def check(self, task: object, dataset: object, where: str) -> None:
        """Reject a task or a data set that is not allowed; invalid names and paths are rejected elsewhere.

        Imports and reads nothing.

        Raises:
            InputError: the task is neither ours nor listed, or the data set's `path` is not in a listed folder.
        """
        if isinstance(task, str) and task not in TASKS and task not in self.classes:
            raise InputError(
                f"`task` must be one of {', '.join([*TASKS, *self.classes])} over HTTP, but got `{task:.200}`",
                where=f"{where} task",
                hint="the server's owner can allow one with `tune-app serve --allow-class "
                + (f"{SCRIPT}`, which allows any command" if task == SCRIPT else "package.module:Class`"),
            )
        path = dataset.get("path") if isinstance(dataset, dict) else None
        if isinstance(path, str) and not self._inside(path):
            listed = " or ".join(self.folders) or "a folder that the server lists"
            raise InputError(
                f"over HTTP, `path` must be in {listed}, but got `{path:.200}`",
                where=f"{where} dataset.path",
                hint="the server's owner can allow a folder with `tune-app serve --data-folder FOLDER`",
            )

    def may_import(self, task: str) -> bool:
        """Whether a user's own task may be imported."""
        return task in self.classes

    def _inside(self, path: str) -> bool:
        """Whether `path` is in one of the folders after resolving all links."""
        try:
            real = Path(os.path.realpath(os.path.expanduser(path)))
            return any(real.is_relative_to(os.path.realpath(folder)) for folder in self.folders)
        except ValueError:  # a null byte
            return False
