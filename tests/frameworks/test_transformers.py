"""`tune_app.transformers` with the real package: reports, health, what is saved, how it ends, and what is rejected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

transformers = pytest.importorskip("transformers", reason="transformers is not installed: make test-frameworks")
pytest.importorskip("accelerate", reason="accelerate is not installed: make test-frameworks")

from tune_app.tasks.report import Report, ReportError, Stopped  # noqa: E402
from tune_app.training.trial import Training  # noqa: E402
from tune_app.transformers import TuneCallback  # noqa: E402

# Both packages call deprecated parts of torch.
pytestmark = pytest.mark.filterwarnings("ignore")
METRICS = {"val_loss": "minimize"}
NAMES = {"val_loss": "eval_loss"}
WORDS = [torch.tensor([(row * place + row) % 17 for place in range(8)]) for row in range(40)]
ROWS = [{"input_ids": words, "labels": words} for words in WORDS]


def network() -> Any:
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=17,
            n_positions=8,
            n_embd=16,
            n_layer=1,
            n_head=2,
            bos_token_id=0,
            eos_token_id=0,
            loss_type="ForCausalLMLoss",
        )
    )


def trainer_of(callback: TuneCallback, callbacks: tuple[Any, ...] = (), rows: Any = ROWS, **options: Any) -> Any:
    arguments = transformers.TrainingArguments(**{**callback.training_arguments, "learning_rate": 0.01, **options})
    return transformers.Trainer(
        network(), arguments, train_dataset=rows, eval_dataset=ROWS[:8], callbacks=[callback, *callbacks]
    )


def tune(config: Any, report: Report, rows: Any = ROWS, **options: Any) -> Any:
    callback = TuneCallback(report, metrics=NAMES)
    trainer = trainer_of(callback, rows=rows, **options)
    trainer.train(resume_from_checkpoint=callback.resume_path)
    return {"test_loss": trainer.evaluate(ROWS[8:16])["eval_loss"]} if report.final else None


def told(training: Training) -> list[dict[str, Any]]:
    while not training.finished:
        training.run_epoch()
    return [{**row.metrics, **row.health} for row in training.history]


def test_each_evaluation_is_reported_with_its_health(make_training: Any) -> None:
    training = make_training(tune, METRICS)
    rows = told(training)
    assert len({row["val_loss"] for row in rows}) == 4
    assert all(row["gradient_health"] is not None for row in rows)
    assert training.model_parameters > 3000
    assert told(make_training(tune, METRICS)) == rows
    assert training.task.finish(training.state)["test_loss"] > 0
    training.close()


@pytest.mark.parametrize("options", [{}, {"eval_strategy": "steps", "eval_steps": 3, "max_steps": 12}])
@pytest.mark.parametrize("after", [1, 3, 4])
def test_a_restored_trial_goes_on_as_if_it_had_never_stopped(
    make_training: Any, after: int, options: dict[str, Any], tmp_path: Path
) -> None:
    whole, cut, again = (
        make_training(lambda config, report: tune(config, report, **options), METRICS) for _ in range(3)
    )
    for _ in range(after):
        cut.run_epoch()
        cut.save(tmp_path / "checkpoint.pt")
        cut.save(tmp_path / "checkpoint.pt")  # the second time, from the trainer's own checkpoint
    cut.close()
    again.restore(tmp_path / "checkpoint.pt")
    assert again.epoch == after
    assert told(again) == told(whole)
    if not options:  # a trainer that is restored after its `max_steps` takes one more step
        assert again.task.finish(again.state) == whole.task.finish(whole.state)
    for training in (whole, again):
        training.save(tmp_path / "checkpoint.pt")
        training.close()


def test_a_trainer_that_evaluates_too_often_is_reported(make_training: Any, capsys: pytest.CaptureFixture[str]) -> None:
    training = make_training(lambda config, report: tune(config, report, num_train_epochs=5), METRICS)
    assert len(told(training)) == 4
    training.close()
    assert "must report 4 epochs, but reports another one" in capsys.readouterr().err


@pytest.mark.parametrize("saved", [False, True])
def test_a_trial_that_is_stopped_runs_its_finally(make_training: Any, saved: bool, tmp_path: Path) -> None:
    seen: list[Any] = []

    def stopped(config: Any, report: Report) -> None:
        callback = TuneCallback(report, metrics=NAMES)
        seen.append(report.trial_folder)
        try:
            trainer_of(callback).train()
        except Stopped:
            seen.append("stopped")
            raise
        finally:
            seen.append("finally")

    training = make_training(stopped, METRICS)
    training.run_epoch()
    if saved:
        training.save(tmp_path / "checkpoint.pt")
    training.close()
    assert seen[1:] == ["stopped", "finally"]
    assert not seen[0].exists()


def test_an_evaluation_before_the_training_does_not_count(make_training: Any) -> None:
    training = make_training(lambda config, report: tune(config, report, eval_on_start=True), METRICS)
    assert len(told(training)) == 4
    training.close()


def test_a_metric_that_was_not_evaluated_is_rejected_with_a_hint(make_training: Any) -> None:
    def wrong(config: Any, report: Report) -> None:
        trainer_of(TuneCallback(report, metrics={"val_loss": "eval_los"})).train()

    with pytest.raises(ReportError, match="`eval_los`, for `val_loss`, was not after step 5") as refused:
        make_training(wrong, METRICS).run_epoch()
    assert "did you mean `eval_loss`?" in str(refused.value)


def test_rows_from_an_iterable_have_no_probe(make_training: Any) -> None:
    class Stream(torch.utils.data.IterableDataset[Any]):
        def __iter__(self) -> Any:
            return iter(ROWS)

    training = make_training(
        lambda config, report: tune(config, report, Stream(), max_steps=20, eval_strategy="steps", eval_steps=5),
        METRICS,
    )
    rows = told(training)
    assert [row["gradient_health"] for row in rows] == [None] * 4
    training.close()


def test_health_and_saving_do_not_affect_the_training(
    make_training: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    measured = make_training(tune, METRICS)
    while not measured.finished:
        measured.run_epoch()
        measured.save(tmp_path / "checkpoint.pt")
    monkeypatch.setattr("tune_app.transformers._probe", lambda *arguments: None)
    plain = told(make_training(tune, METRICS))
    assert [row["gradient_health"] for row in plain] == [None] * 4
    assert [row["val_loss"] for row in plain] == [row["val_loss"] for row in told(measured)]
