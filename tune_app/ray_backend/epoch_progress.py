"""How much of its epoch each running trial has done: told by workers, read by the driver, through Ray's key-value
store.

A worker that trains can answer nobody, so it leaves a few bytes where the driver finds them.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_put, internal_kv_get_gcs_client

if TYPE_CHECKING:  # a worker starts without what the driver needs
    from tune_app.sweep.backend import Run

NAMESPACE = b"tune-app"
TELL_PERIOD_S = 0.2
"""A worker tells its progress at most this often: telling takes a millisecond or less."""


class EpochProgress:
    """What a task calls with the fraction of an epoch that is done, see `tune_app.tasks.task.Progress`.

    Attributes:
        epoch: the number of the epoch that trains now; 0 before the first one.
    """

    def __init__(self, store: str, study: str, trial: int, attempt: int) -> None:
        self._key = _key(store, study, f"{trial}/{attempt}")
        self._next = 0.0
        self.epoch = 0

    def __call__(self, fraction: float) -> None:
        """Tell `fraction` (0..1), if the last telling of an epoch is long enough ago."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + (TELL_PERIOD_S if self.epoch else 0.0)
            _internal_kv_put(self._key, f"{self.epoch} {fraction:.4f}", overwrite=True, namespace=NAMESPACE)


def read(store: str, study: str, runs: Iterable[Run]) -> dict[int, tuple[int, float]]:
    """Epoch and fraction of those `runs` that told them, by number of the trial; asks once for all."""
    keys = {_key(store, study, f"{run.trial}/{run.attempt}"): run.trial for run in runs}
    if not keys:
        return {}
    told = internal_kv_get_gcs_client().internal_kv_multi_get(list(keys), NAMESPACE)
    return {keys[key]: (int(epoch), float(fraction)) for key, (epoch, fraction) in _split(told)}


def forget(store: str, study: str) -> None:
    """Remove what the workers of a study told."""
    _internal_kv_del(_key(store, study, ""), del_by_prefix=True, namespace=NAMESPACE)


def _key(store: str, study: str, attempt: str) -> bytes:
    # Two stores may have a study of one name on one cluster; hashed, for the address of a store may hold keys.
    place = hashlib.blake2b(store.encode(errors="surrogateescape"), digest_size=8).hexdigest()
    return f"epoch/{place}/{study}/{attempt}".encode()


def _split(told: dict[bytes, bytes]) -> Iterable[tuple[bytes, list[bytes]]]:
    return ((key, value.split()) for key, value in told.items())
