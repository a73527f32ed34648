"""Data that the functions of a sweep load once for all trials, in the object store."""

from __future__ import annotations

from typing import Any

import ray
from ray import cloudpickle

from tune_app.credentials import drop_secrets
from tune_app.import_path import put_last
from tune_app.ray_backend.driver_node import on_driver_node
from tune_app.ray_backend.made_object import made_object
from tune_app.tasks.content_hash import content_hash
from tune_app.tasks.shared_data import Load, call
from tune_app.tasks.user_code import exits_as_errors

ANSWER_S = 2.0


class DataSharing:
    """Loads what trials request, once: an actor, so that two trials never load the same data.

    The data is in the object store, once per node, where NumPy arrays are read without a copy.
    """

    def __init__(self, import_path: str) -> None:
        drop_secrets()
        put_last(import_path)
        self._loaded: dict[str, ray.ObjectRef] = {}
        self._hashes: dict[str, str | None] = {}

    def get(self, key: str, load: bytes, arguments: tuple[Any, ...]) -> list[ray.ObjectRef]:
        """A reference to the result of `load` (pickled); in a list, so that the reference itself is sent."""
        if key not in self._loaded:
            loading = cloudpickle.loads(load)
            with exits_as_errors():
                content = loading(*arguments)
            self._loaded[key] = ray.put(content)
            self._hashes[call(loading, arguments)] = content_hash(content)
        return [self._loaded[key]]

    def hashes(self) -> dict[str, str | None]:
        """The hash of everything loaded so far, by its call; None if it has none."""
        return self._hashes


def start_sharing(import_path: str) -> ray.actor.ActorHandle:
    """Start the actor on the driver's node; it restarts if it dies, but Ray does not repeat the call that killed it."""
    actor = ray.remote(DataSharing).options(**on_driver_node(), max_restarts=-1, max_task_retries=0)
    return actor.remote(import_path)


def shared_by(actor: ray.actor.ActorHandle, key: str, load: Load, arguments: tuple[Any, ...]) -> Any:
    """See `tune_app.tasks.shared_data.Share`.

    Raises:
        Exception: what `load` raised.
        WorkFailed: as `made_object`.
    """
    pickled = cloudpickle.dumps(load)
    return made_object(actor, lambda: actor.get.remote(key, pickled, arguments), "process that loads shared data")


def hashes_of(actor: ray.actor.ActorHandle) -> dict[str, str | None]:
    """See `DataSharing.hashes`; empty if the actor does not answer: it may be loading for a trial that was stopped."""
    try:
        found: dict[str, str | None] = ray.get(actor.hashes.remote(), timeout=ANSWER_S)
    except (ray.exceptions.RayError, TimeoutError):
        return {}
    return found
