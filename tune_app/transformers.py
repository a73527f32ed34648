"""Hugging Face's `Trainer` in a user's function: `TuneCallback` reports each evaluation.

The user installs the packages `transformers` and `accelerate`; tune-app does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from greenlet import getcurrent, greenlet
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tune_app.errors import nearest
from tune_app.tasks.framework_checkpoint import FrameworkCheckpoint
from tune_app.tasks.report import Probe, Report, ReportError


class TuneCallback(TrainerCallback):
    """Reports the evaluations of a `Trainer`, and makes it save and restore its checkpoints.

    Each evaluation after a training step is an epoch of the trial. The generators are seeded for each. Its health is
    measured with the model's own loss on the first rows of the data, if the model returns one and the data can be
    indexed.

    A trainer only saves at a fixed point just after an evaluation. So a report waits before that point, and if the
    trial needs to be saved, the trainer continues just far enough.

    Attributes:
        resume_path: the checkpoint of an earlier attempt, for `train(resume_from_checkpoint=…)`; None on a fresh start.
    """

    resume_path: Path | None

    def __init__(self, report: Report, metrics: Mapping[str, str]) -> None:
        """Restores what an earlier attempt at the trial saved, so create it before the first report.

        Args:
            report: the function's `report` argument.
            metrics: the search space's name of each metric, and its name in the trainer's evaluation, such as
                `{"val_loss": "eval_loss"}`.
        """
        self._report, self._metrics = report, dict(metrics)
        self._probe: Probe | None = None
        self._reports: dict[str, float] = {}
        self._begins, self._is_training = True, False
        self._waiting: greenlet | None = None
        self._saver: greenlet | None = None
        checkpoint = FrameworkCheckpoint(report.trial_folder / "restored", self._save)
        report.restore(transformers=checkpoint)
        self.resume_path = checkpoint.restored
        self._saved = self.resume_path

    @property
    def training_arguments(self) -> dict[str, Any]:
        """For `TrainingArguments(**…)`: the trial's device, seed, epochs and folder; no other logging."""
        return {
            "output_dir": str(self._report.trial_folder / "trainer"),
            "use_cpu": self._report.device.type == "cpu",
            "seed": self._report.seed,
            "num_train_epochs": self._report.epochs,
            "eval_strategy": "epoch",
            "save_strategy": "no",
            "save_total_limit": 1,
            "report_to": "none",
            "disable_tqdm": True,
        }

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **held: Any
    ) -> None:
        """Remember the model, and the rows for its health scores."""
        self._is_training = self._report.epoch < self._report.epochs
        self._report.model = held["model"]
        self._report.seed_epoch(0)  # a collator may draw random numbers; make them the same in every attempt
        self._probe = _probe(held["model"], held["train_dataloader"], args)

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **held: Any
    ) -> None:
        """Seed the generators, which may determine the order of the rows."""
        if self._begins:
            self._report.seed_epoch(self._report.epoch + 1)

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **held: Any) -> None:
        """Seed them again, because a restored trainer draws more before its first step than one that continues."""
        if self._begins:
            self._report.seed_epoch(self._report.epoch + 1)
        self._begins = False

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **held: Any) -> None:
        """Report the progress of the epoch."""
        done = state.global_step / state.max_steps * self._report.epochs - self._report.epoch
        self._report.progress(min(1.0, max(0.0, done)))

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **held: Any) -> None:
        """Report, all but the last time.

        Raises:
            ReportError: a metric was not evaluated.
            Stopped: the trial ends here.
        """
        if state.global_step == 0 or not self._is_training:
            return
        evaluated: Mapping[str, float] = held["metrics"]
        for name, theirs in self._metrics.items():
            if theirs not in evaluated:
                raise ReportError(
                    f"each metric of `TuneCallback` must be evaluated by the trainer, but `{theirs}`, for "
                    f"`{name}`, was not after step {state.global_step}; {nearest(theirs, evaluated)}; the trainer "
                    "adds the prefix `eval_` to what `compute_metrics` returns"
                )
        self._reports = {name: evaluated[theirs] for name, theirs in self._metrics.items()}
        if self._report.epoch + 1 == self._report.epochs:
            control.should_save = True  # then the trainer ends, and cannot save any more
            return
        self._saved, self._waiting = None, getcurrent()
        self._tell()
        control.should_save = self._saver is not None

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **held: Any) -> None:
        """Stop reporting: further evaluations belong to the function."""
        self._is_training = False

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **held: Any) -> None:
        """Provide the checkpoint for saving the trial; report the last epoch."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if self._saver is not None:
            saver, self._saver, self._saved = self._saver, None, folder
            saver.switch()
        elif self._reports:
            self._saved = folder
            self._tell()

    def _tell(self) -> None:
        reports, self._reports, self._begins = self._reports, {}, True
        self._report(reports, probe=self._probe)

    def _save(self) -> Path:
        """The folder of the checkpoint; lets the trainer, which waits in a report, continue until it has saved it."""
        if self._saved is None:
            assert self._waiting is not None
            self._saver = getcurrent()
            self._waiting.switch()
        assert self._saved is not None
        # It would restore the generators to before they were seeded for the next epoch.
        (self._saved / "rng_state.pth").unlink(missing_ok=True)
        return self._saved


def _probe(model: Any, loader: Any, args: TrainingArguments) -> Probe | None:
    """Returns the model's own loss on the first batch of rows in order; None if there is none."""
    rows = loader.dataset
    if not (hasattr(rows, "__getitem__") and hasattr(rows, "__len__")):
        return None
    batch = loader.collate_fn([rows[number] for number in range(min(len(rows), args.train_batch_size))])
    inputs = {name: held.to(args.device) if isinstance(held, Tensor) else held for name, held in batch.items()}
    modes = [(module, module.training) for module in model.modules()]
    model.eval()  # keep the running statistics of normalization layers
    with torch.no_grad():
        found = model(**inputs)
    for module, mode in modes:
        module.training = mode
    if not isinstance(found, Mapping) or found.get("loss") is None:
        return None
    return lambda: model(**inputs)["loss"]
