"""A user's script as a task: a command that trains one configuration and reports its progress."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from tune_app.datasets.dataset import Dataset
from tune_app.errors import InputError
from tune_app.spaces.catalog import Catalog
from tune_app.spaces.script import SCRIPT
from tune_app.spaces.variable import Config, resolved
from tune_app.tasks.open_task import OpenTask
from tune_app.tasks.script_state import ScriptState
from tune_app.tasks.task import Progress


class ScriptTask(OpenTask):
    """A script under the contract of `tune_app.tasks.task.Task`."""

    def __init__(self, catalog: Catalog) -> None:
        """Use the script of `catalog`.

        Raises:
            InputError: there is none.
        """
        if catalog.script is None:
            raise InputError(
                f"the task `{SCRIPT}` must have its `command`, but there is none",
                where=f"task {SCRIPT}",
                hint="it is in the search space or profile of a script; docs/own_task.md has an example",
            )
        super().__init__(catalog)
        self.script = catalog.script

    def start(self, config: Config, data: Dataset, *, epochs: int, seed: int, device: torch.device) -> ScriptState:
        """A run of the script; it starts with the first epoch."""
        given = {variable.name: resolved(variable, config[variable.name]) for variable in self.variables}
        return ScriptState(self.script, self.catalog.metrics, given, epochs=epochs, seed=seed, device=device)

    def train_epoch(self, state: ScriptState, epoch: int, progress: Progress) -> Mapping[str, float | None]:
        """Wait for the script's next report."""
        return state.go_on()

    def finish(self, state: ScriptState) -> Mapping[str, float | None]:
        """Let the script finish, so that it saves its model; it reports no test metrics."""
        state.finish()
        return {}
