"""`tune_app.lightning` with the real package: reports, health, what is saved, how it ends, and what is rejected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

lightning = pytest.importorskip("lightning", reason="lightning is not installed: make test-frameworks")

from torchmetrics import MeanMetric  # noqa: E402

from tune_app.lightning import TuneCallback  # noqa: E402
from tune_app.tasks.report import Report, ReportError, Stopped  # noqa: E402
from tune_app.training.trial import Training  # noqa: E402

# Lightning gives advice about data loaders, and calls deprecated parts of torch.
pytestmark = pytest.mark.filterwarnings("ignore")
METRICS = {"val_loss": "minimize", "train_loss": "minimize", "mean": "minimize"}
ROWS = torch.arange(80.0).reshape(20, 4).sin()
DATA = TensorDataset(ROWS, ROWS.sum(1))


class Module(lightning.LightningModule):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, 1))
        self.mean = MeanMetric()

    def forward(self, rows: torch.Tensor) -> Any:
        return self.layers(rows)

    def loss(self, batch: Any) -> torch.Tensor:
        return (self(batch[0]).squeeze(1) - batch[1]).square().mean()

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = self.loss(batch)
        self.mean.update(loss.detach())
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        self.log("of_a_step", loss)
        return loss

    def on_train_epoch_end(self) -> None:
        self.log("mean", self.mean.compute())
        self.mean.reset()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.loss(batch))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)
        return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 2)}


def tune(config: Any, report: Report, module: type[Module] = Module, **options: Any) -> Any:
    callback = TuneCallback(report, metrics=[*METRICS])
    trainer = lightning.Trainer(**callback.trainer_arguments, **options)
    training, validation = DataLoader(DATA, 5, shuffle=True), DataLoader(DATA, 10)
    made = module()
    trainer.fit(made, training, validation, ckpt_path=callback.resume_path, weights_only=True)
    return trainer.validate(made, validation, verbose=False)[0] if report.final else None


def told(training: Training) -> list[dict[str, Any]]:
    while not training.finished:
        training.run_epoch()
    return [{**row.metrics, **row.health} for row in training.history]


def test_each_validated_epoch_is_reported_with_its_health(make_training: Any) -> None:
    training = make_training(tune, METRICS)
    rows = told(training)
    assert len({row["val_loss"] for row in rows}) == 4
    assert [row["mean"] for row in rows] == pytest.approx([row["train_loss"] for row in rows])
    assert all(row["gradient_health"] is not None for row in rows)
    assert training.model_parameters == 4 * 6 + 6 + 6 + 1
    assert training.latency_ms is not None
    assert told(make_training(tune, METRICS)) == rows
    assert training.task.finish(training.state)["val_loss"] == pytest.approx(rows[-1]["val_loss"])
    training.close()


@pytest.mark.parametrize("after", [1, 3, 4])
def test_a_restored_trial_goes_on_as_if_it_had_never_stopped(make_training: Any, after: int, tmp_path: Path) -> None:
    whole, cut, again = (make_training(tune, METRICS) for _ in range(3))
    for _ in range(after):
        cut.run_epoch()
    cut.save(tmp_path / "checkpoint.pt")
    cut.close()
    again.restore(tmp_path / "checkpoint.pt")
    assert again.epoch == after
    assert told(again) == told(whole)
    for training in (whole, again):
        training.task.finish(training.state)
        training.close()


def test_a_trial_that_is_stopped_cleans_up(make_training: Any) -> None:
    seen: list[Any] = []

    class Watched(Module):
        def teardown(self, stage: str) -> None:
            seen.append(stage)

    class Watching(lightning.Callback):  # type: ignore[misc]
        def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
            seen.append(type(exception))

    def stopped(config: Any, report: Report) -> None:
        callback = TuneCallback(report, metrics=[*METRICS])
        arguments = callback.trainer_arguments
        arguments["callbacks"] += [Watching()]
        seen.append(report.trial_folder)
        try:
            lightning.Trainer(**arguments).fit(Watched(), DataLoader(DATA, 5), DataLoader(DATA, 10))
        finally:
            seen.append("finally")

    training = make_training(stopped, METRICS)
    training.run_epoch()
    training.close()
    folder, *ended = seen
    assert (ended[0], ended[-1]) == (Stopped, "finally")
    assert not folder.exists()
    assert torch.is_grad_enabled()


def test_only_validated_epochs_count_and_several_validations_count_once(make_training: Any) -> None:
    def half(config: Any, report: Report) -> Any:
        return tune(config, report, val_check_interval=0.5)

    def second(config: Any, report: Report) -> None:
        callback = TuneCallback(report, metrics=[*METRICS])
        trainer = lightning.Trainer(
            **{**callback.trainer_arguments, "max_epochs": 2 * report.epochs}, check_val_every_n_epoch=2
        )
        trainer.fit(Module(), DataLoader(DATA, 5), DataLoader(DATA, 10), ckpt_path=callback.resume_path)
        steps.append(trainer.global_step)

    steps: list[int] = []
    assert len(told(make_training(half, METRICS))) == 4
    training = make_training(second, METRICS)
    assert len(told(training)) == 4
    training.close()
    assert steps == [32]


def test_a_metric_that_was_not_logged_per_epoch_is_rejected_with_those_that_were(make_training: Any) -> None:
    for name in ("val_los", "of_a_step"):

        def wrong(config: Any, report: Report, name: str = name) -> None:
            callback = TuneCallback(report, metrics=["val_loss", name])
            lightning.Trainer(**callback.trainer_arguments).fit(Module(), DataLoader(DATA, 5), DataLoader(DATA, 10))

        with pytest.raises(ReportError, match=f"`{name}` is not after epoch 1") as refused:
            make_training(wrong, {"val_loss": "minimize", name: "minimize"}).run_epoch()
        assert "mean, train_loss" in str(refused.value)
        assert "of_a_step," not in str(refused.value)


def test_without_a_loss_from_the_training_step_there_is_no_probe(make_training: Any) -> None:
    class Manual(Module):
        automatic_optimization = False

        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            optimizer = self.optimizers()
            optimizer.zero_grad()
            loss = super().training_step(batch, batch_idx)
            self.manual_backward(loss)
            optimizer.step()

    training = make_training(lambda config, report: tune(config, report, Manual), METRICS)
    assert all(row["gradient_health"] is None for row in told(training))
    training.close()


def test_health_does_not_affect_the_training(make_training: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = told(make_training(tune, METRICS))
    monkeypatch.setattr(TuneCallback, "on_train_batch_end", lambda *arguments: None)
    plain = told(make_training(tune, METRICS))
    assert [row["gradient_health"] for row in plain] == [None] * 4
    assert [[row[name] for name in METRICS] for row in plain] == [[row[name] for name in METRICS] for row in measured]
