"""Weights of a trial or a training with its configuration, in a file for ``torch.load(…, weights_only=True)``."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tune_app.errors import NotFound, WorkFailed
from tune_app.folder import Folder
from tune_app.spaces.variable import GROUPS
from tune_app.store.columns import family
from tune_app.store.event_log import TrialRecord
from tune_app.store.study import KEEP, Study
from tune_app.store.training_record import TrainingRecord, checkpoint_path

SCHEMA_VERSION = 1


def write_weights(study: Study, record: TrialRecord, path: Path) -> None:
    """Write the weights of a trial to `path`, from its checkpoint; without the optimizer's state.

    The file contains a mapping: ``schema_version``, ``study``, ``trial``, ``task``, ``dataset``, ``config`` (by group),
    ``metrics``, ``epochs``, ``seed`` and ``weights``. The weights are the entry ``model`` of the task's
    ``state_dict()``, which ours and most others have; otherwise the whole ``state_dict()``.

    Raises:
        NotFound: the trial has no checkpoint: it did not complete, or the checkpoint was removed.
        WorkFailed: the checkpoint cannot be read, or `path` cannot be written.
    """
    name = study.checkpoint(record.trial)
    content = study.folder.read(name)
    if content is None or record.row is None:
        raise NotFound(
            f"trial {record.trial} of the study `{study.name}` has no checkpoint",
            where=study.folder.path(name),
            hint=KEEP,
        )
    document = study.document()
    facts = {
        "study": study.name,
        "trial": record.trial,
        "task": document["task"],
        "dataset": document["dataset"],
        "config": {group: family(record.row.families, f"config/{group}") for group in GROUPS},
        "metrics": family(record.row.families, "metric"),
        "epochs": record.row.epochs,
        "seed": record.seed,
    }
    _write(content, name, facts, path)


def write_training_weights(folder: Folder, training: TrainingRecord, path: Path) -> None:
    """The same for a training, with ``training`` instead of ``study`` and ``trial``.

    Raises:
        NotFound: its checkpoint was removed.
        WorkFailed: the checkpoint cannot be read, or `path` cannot be written.
    """
    name = checkpoint_path(training.name)
    content = folder.read(name)
    if content is None:
        raise NotFound(f"the training `{training.name}` has no checkpoint", where=folder.path(name), hint="train again")
    facts = {key: training.facts[key] for key in ("task", "dataset", "epochs", "seed")}
    given = {"training": training.name, **facts, "config": training.config, "metrics": training.metrics}
    _write(content, name, given, path)


def _write(checkpoint: bytes, name: str, facts: Mapping[str, Any], path: Path) -> None:
    """Write `facts` with the weights in `checkpoint`, the file `name` of the store."""
    try:
        saved = torch.load(io.BytesIO(checkpoint), map_location="cpu", weights_only=True)
        torch.save({"schema_version": SCHEMA_VERSION, **facts, "weights": _weights(saved["state"], name)}, path)
    except NotFound:
        raise
    except Exception as error:  # for a damaged file or a full disk, torch raises nearly anything
        problem = " ".join(str(error).split())[:200]
        raise WorkFailed(f"the weights cannot be read from the checkpoint: {problem}", where=name) from error


def _weights(state: Any, name: str) -> Any:
    """The entry `model` of a checkpoint's state, if there is one; for a function, among the named objects."""
    if state is None:
        raise NotFound("the training saved nothing, so there are no weights", where=name)
    held = state["objects"] if set(state) == {"epoch", "objects"} else state
    return held.get("model", held)
