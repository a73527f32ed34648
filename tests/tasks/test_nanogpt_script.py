"""The ported script in docs/own_code/nanogpt_script/, which knows nothing about tune-app."""

from __future__ import annotations

from pathlib import Path

import pytest

from tune_app.datasets.dataset import Dataset
from tune_app.spaces.catalog import Catalog
from tune_app.spaces.spec import Spec
from tune_app.tasks import load_task
from tune_app.tasks.spec_file import load_spec
from tune_app.training.trial import Training

FOLDER = Path(__file__).parents[2] / "docs" / "own_code" / "nanogpt_script"


def training_of(spec: Spec) -> Training:
    catalog: Catalog = spec.catalog
    config = {**spec.space.complete({}), "n_embd": 16}
    return Training(load_task("script", catalog), config, Dataset("none", "none", {}, {}), epochs=5, seed=1, threads=1)


def test_it_trains_and_continues_from_its_own_checkpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(FOLDER)
    assert "tune_app" not in (FOLDER / "train.py").read_text()
    spec = load_spec("space.yaml")
    cut, again = training_of(spec), training_of(spec)
    try:
        while cut.epoch < 3:
            cut.run_epoch()
        cut.save(tmp_path / "checkpoint.pt")
        cut.close()
        again.restore(tmp_path / "checkpoint.pt")
        while not again.finished:
            again.run_epoch()
    finally:
        cut.close()
        again.close()
    losses = [row.metrics["val_loss"] for row in again.history]
    assert len(losses) == 5
    assert losses[-1] is not None
    assert losses[0] is not None
    assert losses[-1] < losses[0]
