"""A trial's weights in one file that loads safely, whatever its task saves in a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tune_app.errors import NotFound, WorkFailed
from tune_app.results.network.weights import write_weights
from tune_app.store.study import Study

MakeStudy = Callable[..., Study]


@pytest.fixture
def study(tmp_path: Path, make_study: MakeStudy) -> Study:
    return make_study(tmp_path / "results")


def keep(study: Study, root: Path, state: dict[str, Any]) -> None:
    """Give trial 0 a checkpoint with this state."""
    path = root / "results" / study.checkpoint(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"task": "x:Y", "config": {}, "seed": 0, "epochs": 2, "history": [], "state": state}, path)


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        ({"model": {"w": torch.ones(2)}, "optimization": {"m": torch.ones(2)}}, {"w": torch.ones(2)}),
        ({"level": 0.5, "table": torch.arange(3)}, {"level": 0.5, "table": torch.arange(3)}),
    ],
)
def test_weights_and_their_provenance(study: Study, tmp_path: Path, state: Any, kept: dict[str, Any]) -> None:
    keep(study, tmp_path, state)
    record = study.history().trials[0]
    write_weights(study, record, tmp_path / "best.pt")
    saved = torch.load(tmp_path / "best.pt", weights_only=True)
    assert {name: repr(value) for name, value in saved["weights"].items()} == {n: repr(v) for n, v in kept.items()}
    assert (saved["schema_version"], saved["study"], saved["trial"], saved["seed"]) == (1, study.name, 0, record.seed)
    assert {name: value for group in saved["config"].values() for name, value in group.items()} == record.config
    assert list(saved["config"]) == ["architecture", "training", "data", "inference"]


def test_without_a_checkpoint_there_are_no_weights(study: Study, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="trial 1 of the study `digits-small` has no checkpoint"):
        write_weights(study, study.history().trials[1], tmp_path / "best.pt")


def test_a_damaged_checkpoint_is_named(study: Study, tmp_path: Path) -> None:
    keep(study, tmp_path, {})
    path = tmp_path / "results" / study.checkpoint(0)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(WorkFailed, match="cannot be read from the checkpoint") as caught:
        write_weights(study, study.history().trials[0], tmp_path / "best.pt")
    assert caught.value.where == study.checkpoint(0)
