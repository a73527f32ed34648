"""How much of its epoch each running trial has done: written by workers and read by the driver, through Ray's
key-value store.

A worker cannot respond while it trains, so it leaves a few bytes where the driver finds them.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_put, internal_kv_get_gcs_client

if TYPE_CHECKING:  # workers start without the driver's imports
    from tune_app.sweep.backend import Run

NAMESPACE = b"tune-app"
TELL_PERIOD_S = 0.2
"""A worker reports its progress at most this often; a report takes up to a millisecond."""


class EpochProgress:
    """The callback with which a task reports the completed fraction of an epoch, see `tune_app.tasks.task.Progress`.

    Attributes:
        epoch: the current epoch; 0 before the first one.
    """

    def __init__(self, store: str, study: str, trial: int, attempt: int) -> None:
        self._key = _key(store, study, f"{trial}/{attempt}")
        self._next = 0.0
        self.epoch = 0

    def __call__(self, fraction: float) -> None:
        """Report `fraction` (0..1), unless the last report was too recent."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + (TELL_PERIOD_S if self.epoch else 0.0)
            _internal_kv_put(self._key, f"{self.epoch} {fraction:.4f}", overwrite=True, namespace=NAMESPACE)


def read(store: str, study: str, runs: Iterable[Run]) -> dict[int, tuple[int, float]]:
    """Epoch and fraction of those `runs` that reported them, by trial number; one request for all."""
    keys = {_key(store, study, f"{run.trial}/{run.attempt}"): run.trial for run in runs}
    if not keys:
        return {}
    told = internal_kv_get_gcs_client().internal_kv_multi_get(list(keys), NAMESPACE)
    return {keys[key]: (int(epoch), float(fraction)) for key, (epoch, fraction) in _split(told)}


def forget(store: str, study: str) -> None:
    """Remove the progress reports of a study."""
    _internal_kv_del(_key(store, study, ""), del_by_prefix=True, namespace=NAMESPACE)


def _key(store: str, study: str, attempt: str) -> bytes:
    # Two stores on one cluster may have studies with the same name; hashed, because a store's address may contain keys.
    place = hashlib.blake2b(store.encode(errors="surrogateescape"), digest_size=8).hexdigest()
    return f"epoch/{place}/{study}/{attempt}".encode()


def _split(told: dict[bytes, bytes]) -> Iterable[tuple[bytes, list[bytes]]]:
    return ((key, value.split()) for key, value in told.items())
