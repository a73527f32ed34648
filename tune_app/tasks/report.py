"""What a user's function reports with: `def tune(config, report)`."""

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

from tune_app.tasks.seeding import seed_everything
from tune_app.tasks.shared_data import NotShareable, shared

Probe = Callable[[], Tensor]


FOLDER = "tune-app-function-"
"""What the names of trials' folders begin with, before the number of the process."""


class Stopped(BaseException):
    """Ends a function whose trial ends before it does: `finally` blocks run, and `except Exception` lets it through."""


class ReportError(Exception):
    """A function reports otherwise than it should."""


class Restorable(Protocol):
    """A model, an optimizer, a schedule: all that can be saved and put back."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values."""
        ...

    def load_state_dict(self, saved: dict[str, Any]) -> Any:
        """Put back what `state_dict` gave."""
        ...


class Report:
    """What a function tells of its training, and what it needs to know for it.

    Called after each epoch with its metrics. From that call on the trial may be saved, looked into, or ended: then the
    call raises `Stopped`.

    Attributes:
        epochs: that the function has to report, all of them.
        device: where to train.
        final: whether the test part may be looked at: in `train` after the last epoch, never in a sweep.
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
        """Told the fraction of the epoch that is done, 0 to 1, as often as the function likes."""
        self.objects: dict[str, Restorable] = {}
        """What `restore` was given."""
        self.model: Any = None
        """The network whose size and health are measured: what `restore` was given as `model`, or an adapter found."""
        self.only_building = False
        """Whether nobody wants more than what `restore` is given: it waits there, and the trial ends."""
        self.probe: Probe | None = None
        """The one of the last report."""
        self.metrics: Mapping[str, float | None] = {}
        """Those of the last report."""

    def restore(self, **objects: Restorable) -> int:
        """Put back what an earlier attempt at this trial saved, and have `objects` saved at each report from now on.

        The one named `model` is the network whose health and layers are shown. The generators are seeded for the next
        epoch, so that it is the same whether it comes after this call or after a report.

        Returns:
            the number of the epoch after which they were saved; 0 when fresh.

        Raises:
            ReportError: it comes after a report, or something else was saved.
        """
        if self.metrics:
            raise ReportError(f"`{self._function}` must call `report.restore` before it reports")
        self.objects, self.model = objects, objects.get("model")
        if self._saved is not None:
            if set(self._saved) != set(objects):
                found = ", ".join(sorted(objects)) or "nothing"
                raise ReportError(
                    f"`{self._function}` must restore what was saved, {', '.join(sorted(self._saved))}, but got {found}"
                )
            for name, held in objects.items():
                held.load_state_dict(self._saved[name])
            self._saved = None  # it may lie on the GPU
        seed_everything(self.seed, self._epoch + 1)
        if self.only_building:
            self._wait()
        return self._epoch

    def __call__(self, metrics: Mapping[str, float | None], *, probe: Probe | None = None) -> None:
        """Report an epoch.

        Args:
            metrics: all that the search space lists under `metrics`, and nothing else; None where one is undefined.
            probe: gives the training loss on some rows, always the same ones, with its graph: for the health figures.

        Raises:
            ReportError: they are others, or the trial has ended.
            Stopped: the trial ends here.
        """
        if self._ended:
            raise ReportError(f"`{self._function}` must not report after it has ended")
        if self._epoch == self.epochs:
            raise ReportError(f"`{self._function}` must report {self.epochs} epochs, but reports one more")
        for is_on, name in ((torch.is_inference_mode_enabled(), "inference_mode"), (_is_autocast(), "autocast")):
            if is_on:
                raise ReportError(f"`{self._function}` must report outside of `torch.{name}`, which is of the thread")
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
            a number for generators of the function's own.
        """
        seed_everything(self.seed, epoch)
        return self.seed + epoch

    def shared(self, load: Callable[..., Any], *arguments: Any) -> Any:
        """What ``load(*arguments)`` gives, loaded once for all trials and kept in the memory of each node.

        Arrays of NumPy are read in place, and can be read only; anything else is a copy of the trial's own.

        Args:
            load: a function that gets all it needs as arguments.
            arguments: plain values.

        Raises:
            ReportError: `load` or an argument is something else.
        """
        try:
            return shared(load, arguments)
        except NotShareable as error:
            raise ReportError(f"`report.shared` {error}") from None

    def close_with(self, close: Callable[[], Any]) -> None:
        """Call `close` when the trial ends, however it ends; the last one first."""
        self._closing.callback(close)

    @property
    def trial_folder(self) -> Path:
        """An empty folder for the trial alone, removed when it ends."""
        if self._folder is None:
            _remove_abandoned()
            self._folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}-"))
            self._closing.callback(shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder

    @property
    def epoch(self) -> int:
        """Epochs reported so far, those before a `restore` included."""
        return self._epoch

    @property
    def restorable(self) -> bool:
        """Whether there is anything to save."""
        return bool(self.objects or self._saved)

    def state_dict(self) -> dict[str, Any]:
        """What `restore` named, saved; what was saved before, until the function calls it."""
        if not self.objects and self._saved:
            return {"epoch": self._epoch, "objects": dict(self._saved)}
        return {"epoch": self._epoch, "objects": {name: held.state_dict() for name, held in self.objects.items()}}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Keep what was saved until the function calls `restore`."""
        self._epoch, self._saved = saved["epoch"], saved["objects"]

    def end(self) -> None:
        """Close what the function opened."""
        self._ended = True
        self._closing.close()

    def _check_names(self, metrics: object) -> None:
        expected = ", ".join(self._names)
        if not isinstance(metrics, Mapping):
            raise ReportError(f"`{self._function}` must report a mapping with {expected}, but reports {metrics!r:.100}")
        missing = [name for name in self._names if name not in metrics]
        unknown = [str(name) for name in metrics if name not in self._names]
        if missing or unknown:
            fault = f"leaves out {', '.join(missing)}" if missing else f"reports {', '.join(unknown)}, which is none"
            raise ReportError(f"`{self._function}` must report its metrics, {expected}, but {fault}")


def _is_autocast() -> bool:
    return any(torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda"))


def _remove_abandoned() -> None:
    """Remove the folders of trials whose process was killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        owner = folder.name.removeprefix(FOLDER).partition("-")[0]
        if owner.isdecimal() and not Path("/proc", owner).exists() and Path("/proc/self").exists():
            shutil.rmtree(folder, ignore_errors=True)
