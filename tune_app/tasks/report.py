"""The `report` argument of a user's function: `def tune(config, report)`."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from tune_app.readable import counted
from tune_app.tasks.seeding import seed_everything
from tune_app.tasks.shared_data import NotShareable, shared

Probe = Callable[[], Tensor]


FOLDER = "tune-app-function-"
"""Prefix of the names of trials' folders, before the process id."""


class Stopped(BaseException):
    """Ends a function whose trial is stopped: `finally` blocks run, and `except Exception` does not catch it."""


class ReportError(Exception):
    """A function's report is invalid."""


class Restorable(Protocol):
    """A model, an optimizer, a schedule: anything that can be saved and restored."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values."""
        ...

    def load_state_dict(self, saved: dict[str, Any]) -> Any:
        """Put back what `state_dict` gave."""
        ...


class Report:
    """How a function reports its training, and what it needs to know for it.

    Call it after each epoch with the metrics. During that call, the trial may be saved, inspected or stopped: then the
    call raises `Stopped`.

    Attributes:
        epochs: how many epochs the function must report.
        device: where to train.
        final: whether the test data may be used: in `train` after the last epoch, never in a sweep.
        seed: the trial's.
    """

    def __init__(
        self,
        function: str,
        metrics: Mapping[str, Any],
        wait: Callable[[], None],
        *,
        epochs: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self.epochs, self.device, self.seed, self.final = epochs, device, seed, False
        self._function, self._names, self._wait = function, tuple(metrics), wait
        self._epoch = 0
        self._saved: Mapping[str, Any] | None = None
        self._ended = False
        self._closing = ExitStack()
        self._folder: Path | None = None
        self.progress: Callable[[float], None] = lambda fraction: None
        """Call with the completed fraction of the epoch, 0 to 1, as often as you like."""
        self.objects: dict[str, Restorable] = {}
        """The arguments of `restore`."""
        self.model: Any = None
        """The network whose size and health are measured: `restore`'s argument `model`, or set by an adapter."""
        self.only_building = False
        """Whether only the arguments of `restore` are needed: the function waits there, and the trial ends."""
        self.probe: Probe | None = None
        """The probe of the last report."""
        self.metrics: Mapping[str, float | None] = {}
        """The metrics of the last report."""

    def restore(self, **objects: Restorable) -> int:
        """Restore what an earlier attempt at this trial saved, and save `objects` at each report from now on.

        The one named `model` is the network whose health and layers are shown. The generators are seeded for the next
        epoch, so that it is the same whether it comes after this call or after a report.

        Returns: the number of the epoch after which they were saved; 0 on a fresh start.

        Raises:
            ReportError: it is called after a report, or other objects were saved.
        """
        if self.metrics:
            raise ReportError(f"`{self._function}` must call `report.restore` before it reports")
        self.objects, self.model = objects, objects.get("model")
        if self._saved is not None:
            if set(self._saved) != set(objects):
                found = ", ".join(sorted(objects)) or "nothing"
                raise ReportError(
                    f"`{self._function}` must restore the saved objects, {', '.join(sorted(self._saved))}, but got "
                    f"{found}"
                )
            for name, held in objects.items():
                held.load_state_dict(self._saved[name])
            self._saved = None  # it may be on the GPU
        seed_everything(self.seed, self._epoch + 1)
        if self.only_building:
            self._wait()
        return self._epoch

    def __call__(self, metrics: Mapping[str, float | None], *, probe: Probe | None = None) -> None:
        """Report an epoch.

        Args:
            metrics: exactly the `metrics` in the search space; None if one is undefined.
            probe: returns the training loss on a few fixed rows, with its graph, for the health scores.

        Raises:
            ReportError: the metrics do not match, or the trial has ended.
            Stopped: the trial ends here.
        """
        if self._ended:
            raise ReportError(f"`{self._function}` must not report after it has ended")
        if self._epoch == self.epochs:
            raise ReportError(
                f"`{self._function}` must report {counted(self.epochs, 'epoch')}, but reports another one"
            )
        for is_on, name in ((torch.is_inference_mode_enabled(), "inference_mode"), (_is_autocast(), "autocast")):
            if is_on:
                raise ReportError(
                    f"`{self._function}` must report outside `torch.{name}`, which applies to the whole thread"
                )
        self._check_names(metrics)
        self.metrics, self.probe = dict(metrics), probe
        self._epoch += 1
        grad = torch.is_grad_enabled()
        torch.set_grad_enabled(True)
        self._wait()
        torch.set_grad_enabled(grad)

    def seed_epoch(self, epoch: int) -> int:
        """Seed torch's, numpy's and random's generators for an epoch, as each report does for the next one.

        Returns:
            a number to seed the function's own generators.
        """
        seed_everything(self.seed, epoch)
        return self.seed + epoch

    def shared(self, load: Callable[..., Any], *arguments: Any) -> Any:
        """The result of ``load(*arguments)``, loaded once for all trials and kept in the memory of each node.

        NumPy arrays are read in place and are read-only; anything else is the trial's own copy.

        Args:
            load: a function that gets everything it needs as arguments.
            arguments: plain values.

        Raises:
            ReportError: `load` or an argument is not suitable.
        """
        try:
            return shared(load, arguments)
        except NotShareable as error:
            raise ReportError(f"`report.shared` {error}") from None

    def close_with(self, close: Callable[[], Any]) -> None:
        """Call `close` when the trial ends for any reason; in reverse order."""
        self._closing.callback(close)

    @property
    def trial_folder(self) -> Path:
        """An empty folder just for the trial, removed when it ends."""
        if self._folder is None:
            _remove_abandoned()
            self._folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}-"))
            self._closing.callback(shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder

    @property
    def epoch(self) -> int:
        """Epochs reported so far, including those before a `restore`."""
        return self._epoch

    @property
    def restorable(self) -> bool:
        """Whether there is anything to save."""
        return bool(self.objects or self._saved)

    def state_dict(self) -> dict[str, Any]:
        """The saved state of the objects in `restore`; the earlier state until the function calls it."""
        if not self.objects and self._saved:
            return {"epoch": self._epoch, "objects": dict(self._saved)}
        return {"epoch": self._epoch, "objects": {name: held.state_dict() for name, held in self.objects.items()}}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Keep the saved state until the function calls `restore`."""
        self._epoch, self._saved = saved["epoch"], saved["objects"]

    def end(self) -> None:
        """Call the functions registered with `close_with`."""
        self._ended = True
        self._closing.close()

    def _check_names(self, metrics: object) -> None:
        expected = ", ".join(self._names)
        if not isinstance(metrics, Mapping):
            raise ReportError(f"`{self._function}` must report a mapping with {expected}, but reports {metrics!r:.100}")
        missing = [name for name in self._names if name not in metrics]
        unknown = [str(name) for name in metrics if name not in self._names]
        if missing or unknown:
            fault = (
                f"leaves out {', '.join(missing)}"
                if missing
                else f"reports {', '.join(unknown)}, which the search space does not list"
            )
            raise ReportError(f"`{self._function}` must report its metrics, {expected}, but {fault}")


def _is_autocast() -> bool:
    return any(torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda"))


def _remove_abandoned() -> None:
    """Remove the folders of trials whose process was killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        owner = folder.name.removeprefix(FOLDER).partition("-")[0]
        if owner.isdecimal() and not Path("/proc", owner).exists() and Path("/proc/self").exists():
            shutil.rmtree(folder, ignore_errors=True)
