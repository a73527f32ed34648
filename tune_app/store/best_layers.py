"""The layers of the best trial's network, stored at the end of a sweep: viewable without its task, its data or
torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tune_app.errors import InputError
from tune_app.store.study import Study
from tune_app.store.trial_row import TrialRow

NAME = "layers.json"


def write_best_layers(study: Study, row: TrialRow, layers: Sequence[Mapping[str, Any]]) -> None:
    """Store the layers of this row's trial, each as a mapping with the fields of `tune_app.training.layers.Layer` has.

    Raises:
        WorkFailed: the store could not be written.
    """
    content = {"trial": row.trial, "ended_at": row.ended_at, "layers": list(layers)}
    study.folder.write(f"{study.base}/{NAME}", json.dumps(content).encode())


def read_best_layers(study: Study, trial: int, ended_at: str | datetime) -> list[dict[str, Any]] | None:
    """The layers of `trial` as of its last end; None if they are not stored.

    Raises:
        InputError: the file is damaged.
    """
    kept = study.json(NAME)
    if kept.get("trial") != trial:
        return None
    try:
        same = datetime.fromisoformat(kept["ended_at"]) == datetime.fromisoformat(str(ended_at))
        layers: list[dict[str, Any]] = list(kept["layers"])
    except (ValueError, LookupError, TypeError) as error:
        where = study.folder.path(f"{study.base}/{NAME}")
        raise InputError(f"the file must have the layers of one trial, but {error!r}", where=where) from error
    return layers if same else None
