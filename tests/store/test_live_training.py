"""The progress of a training, for a reader that has only the store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tune_app.errors import InputError
from tune_app.folder import LocalFolder
from tune_app.profiles.profile import Profile
from tune_app.profiles.train import train
from tune_app.store.live_training import LiveTraining, read_live_training
from tune_app.store.store import Store
from tune_app.tasks import load_task
from tune_app.tasks.catalogs import load_catalog


def test_it_reports_epochs_fractions_and_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = LocalFolder(tmp_path)
    assert read_live_training(folder, "mine") is None
    clock = [0.0]
    monkeypatch.setattr("tune_app.store.live_training.time.monotonic", lambda: clock[0])
    live = LiveTraining(folder, "mine", 3)

    def told() -> tuple[object, ...]:
        read = read_live_training(folder, "mine")
        assert read is not None
        return read["epoch"], read["epochs"], read["fraction"], read["metrics"]

    assert told() == (0, 3, None, {})
    clock[0] = 0.4
    live.progress(0.25)
    assert told() == (0, 3, None, {})  # too soon after the last write
    clock[0] = 0.6
    live.progress(0.5)
    assert told() == (0, 3, 0.5, {})
    live.epoch_ended(1, {"val_accuracy": 0.9})  # written at once
    assert told() == (1, 3, None, {"val_accuracy": 0.9})


def test_a_real_training_leaves_its_last_epoch_under_its_name(tmp_path: Path) -> None:
    task = load_task("image_cnn")
    config = {v.name: v.default for v in task.variables} | {"filters": 2, "epochs": 2}
    profile = Profile("small", load_catalog("image_cnn"), "digits", config)
    trained = train(profile, Store(tmp_path), epochs=2, seed=0, name="here")
    assert trained.folder == str(tmp_path / "trainings" / "here")
    live = read_live_training(LocalFolder(tmp_path), "here")
    assert live is not None
    assert (live["epoch"], live["epochs"], live["fraction"]) == (2, 2, None)
    history = json.loads((tmp_path / "trainings" / "here" / "metrics.json").read_text())["history"]
    assert live["metrics"] == {name: history[-1][name] for name in live["metrics"]}
    with pytest.raises(InputError, match="the training `here` exists"):
        train(profile, Store(tmp_path), epochs=2, seed=0, name="here")
