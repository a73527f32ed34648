"""Prepared data, created once for each preprocessing and shared by all trials of a sweep."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import ray

from tune_app.credentials import drop_secrets
from tune_app.datasets.dataset import Dataset
from tune_app.import_path import put_last
from tune_app.ray_backend.driver_node import on_driver_node
from tune_app.ray_backend.made_object import made_object
from tune_app.spaces.variable import Config

KEPT = 8
"""How many unused prepared data sets stay in the object store: the most recently requested ones."""


class Preparation:
    """Prepares the data set of a sweep: an actor, so that two trials never prepare the same data.

    The result is in the object store, where the trials on a node read it without a copy.

    Args:
        task: name of a task that prepares its data, see `tune_app.tasks.task.Preparing`.
        import_path: folder from which a user's own task is imported.
    """

    def __init__(self, task: str, import_path: str) -> None:
        from tune_app.tasks import load_task  # it imports torch
        from tune_app.training.trial import prepared

        drop_secrets()
        put_last(import_path)
        self._task: Any = load_task(task)
        self._prepared = prepared
        self._made: dict[str, ray.ObjectRef] = {}

    def get(self, config: Config, data: list[ray.ObjectRef]) -> list[ray.ObjectRef]:
        """The data set; `data` and the result are one-element lists, so that references are sent instead of values."""
        raw: Dataset = ray.get(data[0])
        key = content_key(raw, {name: config[name] for name in self._task.prepared_by})
        made = self._made.pop(key, None) or ray.put(self._prepared(self._task, config, raw))
        self._made[key] = made  # at the end, as the most recently used one
        while len(self._made) > KEPT:
            del self._made[next(iter(self._made))]
        return [made]


def content_key(data: Dataset, values: Config) -> str:
    """SHA-256 of a data set's content and the variables that its preparation depends on."""
    return hashlib.sha256(f"{data.sha256()} {json.dumps(values, sort_keys=True)}".encode()).hexdigest()


def start_preparation(task: str, import_path: str) -> ray.actor.ActorHandle:
    """Start the actor on the driver's node; it restarts if it dies.

    Ray does not repeat the call in which it died, because that would never end if the preparation itself kills it.
    """
    actor = ray.remote(Preparation).options(**on_driver_node(), max_restarts=-1, max_task_retries=0)
    return actor.remote(task, import_path)


def prepared_data(actor: ray.actor.ActorHandle, config: Config, data: ray.ObjectRef) -> Dataset:
    """The data set for a trial with `config`.

    Raises:
        Exception: what the task's own `prepare` raised.
        WorkFailed: as `made_object`.
    """
    found: Dataset = made_object(actor, lambda: actor.get.remote(config, [data]), "process that prepares the data")
    return found
