"""A user's function as a task: `def tune(config, report)`, which owns its loop over the epochs.

It runs in a greenlet in the training thread: control switches to the caller when the function reports, and back to the
function for the next epoch.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import torch
from greenlet import greenlet
from torch import Tensor

from tune_app.datasets.dataset import Dataset
from tune_app.readable import counted
from tune_app.spaces.catalog import Catalog, arranged
from tune_app.spaces.variable import Config
from tune_app.tasks.open_task import OpenTask
from tune_app.tasks.report import Report, ReportError, Stopped
from tune_app.tasks.seeding import seed_everything
from tune_app.tasks.task import Progress

Function = Callable[[dict[str, Any], Report], Mapping[str, float | None] | None]


class FunctionTask(OpenTask):
    """A function under the contract of `tune_app.tasks.task.Task`."""

    def __init__(self, function: Function, catalog: Catalog) -> None:
        super().__init__(catalog)
        self._function = function

    def start(self, config: Config, data: Dataset, *, epochs: int, seed: int, device: torch.device) -> FunctionState:
        """A run of the function; it starts with the first epoch."""
        given = arranged(config, self.catalog)
        return FunctionState(self._function, self.catalog, given, epochs=epochs, seed=seed, device=device)

    def train_epoch(self, state: FunctionState, epoch: int, progress: Progress) -> Mapping[str, float | None]:
        """Let the function continue until it reports."""
        return state.go_on(progress)

    def finish(self, state: FunctionState) -> Mapping[str, float | None]:
        """The function's return value after its last epoch, with `report.final`."""
        return state.finish()

    def probe_loss(self, state: FunctionState) -> Tensor:
        """The result of the probe in the last report."""
        assert state.report.probe is not None
        return state.report.probe()


class FunctionState:
    """A run of a function."""

    def __init__(
        self,
        function: Function,
        catalog: Catalog,
        config: dict[str, Any],
        *,
        epochs: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self._name = catalog.task
        self.report = Report(self._name, catalog.metrics, self._pause, epochs=epochs, seed=seed, device=device)
        self._caller: greenlet | None = None
        self._begun = False
        self._run = greenlet(lambda: function(config, self.report))

    @property
    def model(self) -> Any:
        """The network that the function trains; None if it passed none to `restore`."""
        return self.report.model

    @property
    def has_probe(self) -> bool:
        """Whether the last report had one."""
        return self.report.probe is not None

    @property
    def restorable(self) -> bool:
        """Whether the function passed anything to save, now or in an earlier attempt."""
        return self.report.restorable

    def state_dict(self) -> dict[str, Any]:
        """See `Report`."""
        return self.report.state_dict()

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """See `Report`."""
        self.report.load_state_dict(saved)

    def build(self) -> None:
        """Let the function build and restore its objects, without training."""
        self.report.only_building = True
        self._begin()
        self._switch()

    def go_on(self, progress: Progress) -> Mapping[str, float | None]:
        """Let the function train until it reports; returns the report."""
        self.report.progress = progress
        self._begin()
        before = self.report.epoch
        self._switch()
        if self.report.epoch == before:
            raise ReportError(
                f"`{self._name}` must report {counted(self.report.epochs, 'epoch')}, but returned after {before}"
            )
        return self.report.metrics

    def _begin(self) -> None:
        if not self._begun:
            # Code before its first epoch must draw the same numbers when it restarts.
            seed_everything(self.report.seed, 0)
            self._begun = True

    def finish(self) -> Mapping[str, float | None]:
        """Let the function finish, with `report.final`; returns its return value."""
        self.report.final = True
        returned = self._switch()
        if returned is None:
            return {}
        if not isinstance(returned, Mapping):
            rule = f"`{self._name}` must return a mapping of metrics or nothing, but returned {returned!r:.100}"
            raise ReportError(rule)
        return returned

    def close(self) -> None:
        """End the function: it returns if it has reported all epochs, otherwise `Stopped` is raised in it."""
        try:
            if self._run and not self._run.dead:
                if self.report.epoch == self.report.epochs and not self.report.only_building:
                    self._switch()
                else:
                    self._switch(Stopped())
        except Stopped:
            pass
        except Exception:  # the trial is over, and its results are kept
            traceback.print_exc(file=sys.stderr)
        try:
            self.report.end()
        except Exception:
            traceback.print_exc(file=sys.stderr)

    def _switch(self, error: BaseException | None = None) -> Any:
        self._caller = greenlet.getcurrent()
        self._run.parent = self._caller
        return self._run.switch() if error is None else self._run.throw(error)

    def _pause(self) -> None:
        assert self._caller is not None
        self._caller.switch()
