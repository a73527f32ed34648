"""What the adapters of Lightning and Hugging Face add to an epoch.

Machine: any; prints its cores. Workload: a tiny network, epochs of one step and one validation, in one process without
Ray, so that the adapter's part is large. Peer: the same trainer with a callback that does nothing. Each repeat trains
both, one after the other; figures are milliseconds an epoch, over all but the first two epochs. What a trial does
between two epochs, such as its health, is not measured; checkpoints are measured separately.
Theoretical minimum: 0 ms. Bar: 3 ms. Needs `make test-frameworks` first.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any

import lightning
import torch
import transformers
from torch.utils.data import DataLoader, TensorDataset

from tune_app import lightning as ours_lightning
from tune_app import transformers as ours_transformers
from tune_app.datasets.dataset import Dataset
from tune_app.spaces.catalog import Catalog
from tune_app.tasks.function_task import FunctionTask

EPOCHS, REPEATS = 60, 7
ROWS = torch.arange(64.0).reshape(16, 4).sin()
WORDS = [{"input_ids": torch.arange(8) % 7, "labels": torch.arange(8) % 7} for _ in range(8)]


class Module(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor | None:
        return self.layer(batch[0]).square().mean()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.layer(batch[0]).square().mean())

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def fit(callbacks: list[Any], arguments: dict[str, Any]) -> None:
    """Train with Lightning."""
    loader = DataLoader(TensorDataset(ROWS), 16)
    lightning.Trainer(**{**arguments, "callbacks": callbacks}).fit(Module(), loader, loader)


def train(callbacks: list[Any], arguments: dict[str, Any]) -> None:
    """Train with Hugging Face."""
    size = {"vocab_size": 7, "n_positions": 8, "n_embd": 8, "n_layer": 1, "n_head": 1}
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**size, bos_token_id=0, eos_token_id=0))
    given = transformers.TrainingArguments(**arguments)
    trainer = transformers.Trainer(model, given, train_dataset=WORDS, eval_dataset=WORDS, callbacks=callbacks)
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()


class LightningClock(lightning.Callback):
    """Records when each epoch ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.ends.append(time.perf_counter())


class TransformersClock(transformers.TrainerCallback):
    """Records when each epoch began."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **held: Any) -> None:
        self.ends.append(time.perf_counter())


def epoch_ms(ends: list[float]) -> float:
    """Median milliseconds of an epoch."""
    return 1000 * statistics.median(later - before for before, later in itertools.pairwise(ends[2:]))


def measured(run: Callable[..., None], adapter: Any, clock: Any, saves: bool) -> tuple[float, float]:
    """Milliseconds of an epoch with the adapter and without, or of a checkpoint if the trial is saved."""
    with_it, without, saved_ms = clock(), clock(), []
    kept: dict[str, Any] = {}

    def tune(config: Any, report: Any) -> None:
        callback = adapter(report)
        name = "trainer_arguments" if run is fit else "training_arguments"
        kept.update(getattr(callback, name))
        run([with_it, callback], kept)

    catalog = Catalog("train:tune", (), metrics={"val_loss": "minimize"}, open=True)
    task = FunctionTask(tune, catalog)
    state = task.start({}, Dataset("none", "none", {}, {}), epochs=EPOCHS, seed=0, device=torch.device("cpu"))
    with TemporaryDirectory() as folder:
        for _ in range(EPOCHS):
            state.go_on(lambda fraction: None)
            if saves:
                begin = time.perf_counter()
                state.state_dict()
                saved_ms.append(1000 * (time.perf_counter() - begin))
        state.close()
        if saves:
            return statistics.median(saved_ms[2:]), 0.0
        own = {"output_dir": folder} if run is train else {"default_root_dir": folder, "enable_checkpointing": False}
        run([without], {**kept, **own})
    return epoch_ms(with_it.ends), epoch_ms(without.ends)


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    cases = {
        "lightning": (
            fit,
            lambda report: ours_lightning.TuneCallback(report, metrics=["val_loss"]),
            LightningClock,
        ),
        "transformers": (
            train,
            lambda report: ours_transformers.TuneCallback(report, metrics={"val_loss": "eval_loss"}),
            TransformersClock,
        ),
    }
    print(json.dumps({"cores": os.cpu_count(), "load": os.getloadavg()[0], "epochs": EPOCHS, "repeats": REPEATS}))
    for name, (run, adapter, clock) in cases.items():
        pairs = [measured(run, adapter, clock, saves=False) for _ in range(REPEATS)]
        added = sorted(with_it - without for with_it, without in pairs)
        checkpoint = measured(run, adapter, clock, saves=True)[0]
        line = {"adapter": name, "added_ms": statistics.median(added), "least": added[0], "most": added[-1]}
        plain = statistics.median(without for _, without in pairs)
        print(json.dumps({**line, "epoch_without_ms": plain, "checkpoint_ms": checkpoint}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
