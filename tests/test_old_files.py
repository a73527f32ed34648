"""Files as version 1 of each format wrote them; the store and the profile have their own tests.

Never change them: if a test breaks, users' files can no longer be read.
"""

from __future__ import annotations

import json
from pathlib import Path

from tune_app.jobs.job import read_job
from tune_app.spaces.catalog import Catalog
from tune_app.spaces.variable import Categorical, Float, Int
from tune_app.tasks.spec_file import load_spec

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
