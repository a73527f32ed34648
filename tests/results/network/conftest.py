"""A study whose first trial was really trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tune_app.store.study import Study
from tune_app.tasks import load_task
from tune_app.training.trial import Training


@pytest.fixture(scope="session")
def trained(make_study: Callable[..., Study], tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Training]:
    """The study and the training of its trial 0, the only trial with a checkpoint."""
    study = make_study(tmp_path_factory.mktemp("store"))
    record, task = study.history().trials[0], load_task("image_cnn")
    training = Training(task, record.config, task.load_data("digits").without_test(), epochs=2, seed=record.seed)
    while not training.finished:
        training.run_epoch()
    training.save(Path(study.folder.path(study.checkpoint(0))))
    return study, training
