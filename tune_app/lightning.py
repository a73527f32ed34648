"""Lightning's `Trainer` in a user's function: `TuneCallback` reports each validated epoch.

The user installs the package `lightning`; tune-app does not.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torchmetrics import Metric

from tune_app.errors import nearest
from tune_app.tasks.framework_checkpoint import FrameworkCheckpoint
from tune_app.tasks.report import Report, ReportError

FILE = "trial.ckpt"


# A `Checkpoint`, because Lightning calls these last, after everything that the module logs and does in an epoch.
class TuneCallback(Checkpoint):
    """Reports the epochs of a `Trainer`, and makes it save and restore them.

    An epoch is reported at its end if it was validated; the sanity check does not count. If it was validated several
    times, the last one counts. The generators are seeded for each reported epoch. Its health is measured with
    `training_step` on the first training batch, if that step returns a loss and the optimization is automatic.

    Attributes:
        resume_path: the checkpoint of an earlier attempt, for `fit(ckpt_path=…)`; None on a fresh start.
    """

    resume_path: Path | None
    best_model_path = ""
    """Not kept; Lightning asks for it to test the best model."""

    def __init__(self, report: Report, metrics: Sequence[str]) -> None:
        """Restores what an earlier attempt at the trial saved, so create it before the first report.

        Args:
            report: the function's `report` argument.
            metrics: the names under which the module logs the search space's `metrics`.
        """
        self._report, self._metrics = report, tuple(metrics)
        self._trainer: Trainer | None = None
        self._batch: Any = None
        self._validated: dict[str, float] = {}
        self._begins = True
        checkpoint = FrameworkCheckpoint(report.trial_folder / "restored", self._save)
        report.restore(lightning=checkpoint)
        self.resume_path = checkpoint.restored / FILE if checkpoint.restored else None

    @property
    def trainer_arguments(self) -> dict[str, Any]:
        """For `Trainer(**…)`: the trial's device, epochs and folder, this callback, and no loggers or progress
        output."""
        device = self._report.device
        is_gpu = device.type == "cuda"
        return {
            "accelerator": "gpu" if is_gpu else "cpu",
            "devices": [device.index or 0] if is_gpu else 1,
            "max_epochs": self._report.epochs,
            "callbacks": [self],
            "default_root_dir": self._report.trial_folder,
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
        }

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember the module."""
        self._trainer, self._report.model = trainer, pl_module

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Seed the generators, so that an epoch draws the same numbers after a report and after a restart."""
        if not self._begins:
            return
        self._report.seed_epoch(self._report.epoch + 1)
        if self.resume_path is not None and trainer.fit_loop.is_resuming:
            # Each loader has drawn its workers' seed before this, although it otherwise does so after it.
            for loader in tree_leaves(trainer.train_dataloader):
                if getattr(loader, "generator", None) is None:
                    torch.empty((), dtype=torch.int64).random_()
        self._begins = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the first batch for the health scores, and report the progress of the epoch."""
        if self._batch is None and pl_module.automatic_optimization and outputs is not None:
            self._batch = batch
        if math.isfinite(trainer.num_training_batches):
            self._report.progress((batch_idx + 1) / trainer.num_training_batches)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep what the validation logged, to report it at the end of the epoch."""
        if not trainer.sanity_checking:
            self._validated = _logged(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report.

        Raises:
            ReportError: a metric was not logged for the epoch.
            Stopped: the trial ends here.
        """
        if not self._validated:
            return
        logged = self._validated | _logged(trainer)
        self._validated = {}
        for name in self._metrics:
            if name not in logged:
                raise ReportError(
                    f"each metric of `TuneCallback` must be logged per epoch, but `{name}` is not after epoch "
                    f"{trainer.current_epoch + 1} of Lightning; {nearest(name, logged)}; log it with "
                    f"`self.log({name!r}, …, on_epoch=True)`"
                )
        self._begins = True
        probe = None if self._batch is None else lambda: self._loss(trainer, pl_module)
        self._report({name: logged[name] for name in self._metrics}, probe=probe)

    def state_dict(self) -> dict[str, Any]:
        """The batch for the health scores, if it is plain tensors, so that a restored trial uses the same one."""
        return {"batch": self._batch} if _is_plain(self._batch) else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """See `state_dict`."""
        self._batch = _on(state_dict.get("batch"), self._report.device)

    def _save(self) -> Path:
        assert self._trainer is not None
        folder = self._report.trial_folder / "saved"
        self._trainer.save_checkpoint(folder / FILE)
        return folder

    def _loss(self, trainer: Trainer, module: LightningModule) -> Tensor:
        arguments = (self._batch, 0)[: len(inspect.signature(module.training_step).parameters)]
        with _logging_nothing(module), trainer.precision_plugin.train_step_context():
            found = module.training_step(*arguments)
        loss: Tensor = found["loss"] if isinstance(found, Mapping) else found
        return loss


def _logged(trainer: Trainer) -> dict[str, float]:
    """What the running loop logged for its whole epoch; `callback_metrics` also has the last step's values."""
    found = trainer.callback_metrics
    held = trainer._results  # no public name shows which of them are per epoch
    names = {result.meta.name for result in (held or {}).values() if result.meta.on_epoch}
    return {name: float(value) for name, value in found.items() if name.removesuffix("_epoch") in names}


@contextmanager
def _logging_nothing(module: LightningModule) -> Iterator[None]:
    """A step outside the loop: drops what it logs, and resets its metrics."""
    held = [(metric, copy.deepcopy(metric.__getstate__())) for metric in module.modules() if isinstance(metric, Metric)]
    names = ("log", "log_dict")
    before = {name: vars(module)[name] for name in names if name in vars(module)}
    vars(module).update(dict.fromkeys(names, lambda *arguments, **options: None))
    try:
        yield
    finally:
        for name in names:
            del vars(module)[name]
        vars(module).update(before)
        for metric, state in held:
            metric.__setstate__(state)


def _is_plain(batch: Any) -> bool:
    if type(batch) in (list, tuple):
        return all(map(_is_plain, batch))
    if type(batch) is dict:
        return all(isinstance(key, str) and _is_plain(held) for key, held in batch.items())
    return type(batch) is Tensor


def _on(batch: Any, device: torch.device) -> Any:
    if type(batch) in (list, tuple):
        return type(batch)(_on(part, device) for part in batch)
    if type(batch) is dict:
        return {key: _on(part, device) for key, part in batch.items()}
    return batch.to(device) if isinstance(batch, Tensor) else batch
