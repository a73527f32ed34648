"""A small study with some really trained trials, for the pages that show networks and health."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tune_app.spaces.spec import Spec
from tune_app.store.study import Study

EPOCHS = 4
TRAINED = {0: EPOCHS, 1: 2}
"""Trial 0 completes, trial 1 is pruned too early for half of the figures."""


@pytest.fixture(scope="session")
def trained_results(
    tmp_path_factory: pytest.TempPathFactory,
    make_study: Any,
    make_spec: Callable[..., Spec],
    train_trials: Callable[..., None],
) -> Path:
    """A store with the study `digits-small`: trials 0 and 1 trained, 2 and 4 made up as completed, 3 failed."""
    root = tmp_path_factory.mktemp("trained") / "results"
    spec = make_spec(budget={"trials": 5, "epochs": EPOCHS})
    study: Study = make_study(root, spec)
    train_trials(study, spec, TRAINED)
    return root
