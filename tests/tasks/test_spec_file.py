"""Search space files together with the tasks they name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tune_app.errors import InputError
from tune_app.tasks import TASKS, load_task
from tune_app.tasks.catalogs import catalog_of, load_catalog
from tune_app.tasks.spec_file import load_spec


@pytest.mark.parametrize("name", TASKS)
def test_the_shipped_catalogs_match_the_tasks(name: str) -> None:
    assert load_catalog(name) == catalog_of(load_task(name), name), "run `python -m tune_app.tasks.catalogs`"


def test_an_unknown_task_is_reported_at_its_line(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("schema_version: 1\nname: a\ntask: imagecnn\ndataset: digits\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_spec(path)
    assert caught.value.where == f"{path}:3 task"
    assert "image_cnn" in caught.value.hint
