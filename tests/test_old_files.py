"""Files as version 1 of each format wrote them; the store and the profile have their own tests.

Never change them: if a test breaks, users' files can no longer be read.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tune_app.datasets import load_dataset
from tune_app.jobs.job import read_job
from tune_app.spaces.catalog import Catalog
from tune_app.spaces.variable import Categorical, Float, Int
from tune_app.store.store import Store
from tune_app.store.trial_notes import TrialNote, TrialNotes
from tune_app.tasks import load_task
from tune_app.tasks.spec_file import load_spec
from tune_app.training.trial import Training, prepared

FIXTURES = Path(__file__).parent / "fixtures"


def test_a_search_space_of_version_1_is_read() -> None:
    """The first search space that shipped with tune-app."""
    spec = load_spec(FIXTURES / "space_v1.yaml")
    assert (spec.name, spec.task, spec.dataset) == ("digits-cnn", "image_cnn", "digits")
    assert (spec.budget.trials, spec.budget.epochs, spec.search.sampler, spec.pruning.scheduler) == (
        40,
        15,
        "tpe",
        "asha",
    )
    assert spec.space.searched["filters"] == Categorical((8, 16, 32, 64))
    assert spec.space.searched["learning_rate"] == Float(1e-4, 0.3, log=True)
    assert {"dense_width", "momentum"} <= spec.space.when.keys()
    assert spec.space.complete({})["gradient_clip"] == 0.0
    assert set(spec.space.complete({})) == {v.name for v in spec.space.variables}


def test_a_catalog_of_version_1_is_read() -> None:
    catalog = Catalog.from_dict(json.loads((FIXTURES / "catalog_v1.json").read_text()))
    found = {v.name: v for v in catalog.variables}
    assert found["width"].domain == Int(8, 64, step=8)
    assert found["learning_rate"].domain == Float(1e-5, 1.0, log=True)
    assert found["optimizer"].domain == Categorical(("sgd", "adamw"))
    assert (found["depth"].when, found["validation_fraction"].searchable) == ("width > 8", False)
    assert catalog.metrics == {"val_accuracy": "maximize", "val_loss": "minimize", "seen": None}
    assert (catalog.task, catalog.constraints) == ("mine:Mine", ("width * depth <= 128",))
    assert (catalog.data_parallel, catalog.open) == (False, False)


def test_a_job_record_of_version_1_is_read() -> None:
    job = read_job((FIXTURES / "job_v1.json").read_bytes(), "job.json")
    assert (job.id, job.kind, job.study, job.run, job.state) == ("digits-3", "sweep", "digits-3", 3, "FAILED")
    assert (job.reason, job.message, job.exit_code) == ("error", "it broke", 1)
    assert job.request == {"space": "name: digits\n", "profiles": {}, "preflight": True, "fuse": True}
    assert job.ended_at == "2026-01-02T03:05:00+00:00"


def test_notes_of_version_1_are_read(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "store_v1", tmp_path, dirs_exist_ok=True)
    shutil.copy(FIXTURES / "notes_v1.jsonl", tmp_path / "studies" / "digits-small" / "notes.jsonl")
    notes = TrialNotes(Store(tmp_path).study("digits-small")).read()
    assert notes == {2: TrialNote(star=True, tags=("wide",), text="Why so slow?\nCafé", edits=1)}


@pytest.fixture
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_threads")
def test_a_checkpoint_of_version_1_continues() -> None:
    """Two of three epochs of a small network on the digits."""
    file, task = FIXTURES / "checkpoint_v1.pt", load_task("image_cnn")
    saved = torch.load(file, weights_only=True)
    data = prepared(task, saved["config"], load_dataset("digits"))
    training = Training(task, saved["config"], data, epochs=3, seed=7, device="cpu", threads=1)
    training.restore(file)
    assert [row.metrics["val_accuracy"] for row in training.history] == [0.28, 0.49]
    last = training.run_epoch()
    assert last.epoch == 3
    assert last.metrics["val_accuracy"] > 0.5, "it learns on from there; one epoch alone reaches 0.28"
