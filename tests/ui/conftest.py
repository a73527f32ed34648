"""A small study of which some trials were really trained, for the parts that show networks and health."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tune_app.moment import now
from tune_app.spaces.spec import Spec
from tune_app.store.columns import column_types
from tune_app.store.study import Study
from tune_app.store.study_writer import StudyWriter
from tune_app.tasks import load_task
from tune_app.training.trial import Training, prepared

EPOCHS = 4
TRAINED = {0: EPOCHS, 1: 2}
"""Trial 0 completes, trial 1 is pruned too early for half of the figures."""


@pytest.fixture(scope="session")
def trained_results(tmp_path_factory: pytest.TempPathFactory, make_study: Any, make_spec: Callable[..., Spec]) -> Path:
    """A store with the study `digits-small`: trials 0 and 1 trained, 2 and 4 completed as made up, 3 failed."""
    root = tmp_path_factory.mktemp("trained") / "results"
    spec = make_spec(budget={"trials": 5, "epochs": EPOCHS})
    study: Study = make_study(root, spec)
    history = study.history()
    task = load_task("image_cnn")
    data = task.load_data("digits").without_test()
    with StudyWriter(study, history, column_types(spec.space.variables)) as writer:
        for number, epochs in TRAINED.items():
            record = history.trials[number]
            training = Training(
                task, record.config, prepared(task, record.config, data), epochs=EPOCHS, seed=record.seed, threads=1
            )
            row = dict(record.row or {}, ended_at=now(), epochs=epochs, model_parameters=training.model_parameters)
            writer.trial_started(number, record.trial_id, record.config, record.seed, 2)
            for epoch in (training.run_epoch() for _ in range(epochs)):
                figures = {f"metric/{name}": value for name, value in epoch.metrics.items()}
                figures |= {f"health/{name}": value for name, value in epoch.health.items()}
                writer.epochs(
                    [
                        {
                            "trial": number,
                            "epoch": epoch.epoch,
                            "ended_at": now(),
                            "duration_s": epoch.duration_s,
                            **figures,
                        }
                    ]
                )
                row |= figures
            writer.trial_ended(row)
            if row["state"] == "COMPLETED":
                path = Path(study.folder.path(study.checkpoint(number)))
                path.parent.mkdir(parents=True, exist_ok=True)
                training.save(path)
    return root
