"""The Ray cluster: reaching one or starting one here, and how many trials fit on it."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

# Ray reads these when it is imported or starts; our workers inherit them.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
from ray.air.execution.resources.fixed import FixedResourceManager

from tune_app import worker
from tune_app.errors import InputError

WARMED = 8
"""At most so many workers of this machine are told to import the task before the first trial."""
REFRESH_S = 2.0
"""How often the cluster is asked which nodes it has."""


@contextmanager
def connected(address: str | None, task: str) -> Iterator[None]:
    """Use the cluster at `address` (``auto`` finds the one of this machine), or one started here for the while.

    Without an address, ``RAY_ADDRESS`` counts, which Ray sets inside its jobs. Workers started here import `task`
    at once. Only the main thread may do this: Linux ends Ray's processes together with the thread that started them.

    Raises:
        InputError: no cluster answers at the address.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address in (None, "local"):
            ray.init(address="local", include_dashboard=False, **quiet)
            warm_up = ray.remote(num_cpus=1)(worker.warm_up)
            for _ in range(min(WARMED, int(ray.cluster_resources().get("CPU", 0)))):
                warm_up.remote(task, os.getcwd())
        else:
            ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(
            f"no Ray cluster answers at `{address}`: {(str(error).splitlines() or ['?'])[0]}",
            hint="start one with `ray start --head`, or leave --address away to use this machine",
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


class Cluster:
    """How many trials the cluster holds at once, kept up to date as nodes come and go.

    Args:
        cpus: CPUs of one trial.
        gpus: GPUs of one trial, a share or a whole number.
        concurrent: at most so many trials at once; None for as many as fit.
    """

    def __init__(self, cpus: float, gpus: float, concurrent: int | None) -> None:
        self._cpus, self._gpus, self._concurrent = cpus, gpus, concurrent
        self.bundle = {"CPU": cpus, **({"GPU": gpus} if gpus else {})}
        self.resources = FixedResourceManager(ray.cluster_resources())
        self._asked_at = -math.inf
        self.slots = 0
        self.refresh()
        if not self.slots:
            have = ray.cluster_resources()
            raise InputError(
                f"a trial needs {cpus:g} CPUs and {gpus:g} GPUs on one node, but the largest node has "
                f"{max((n['Resources'].get('CPU', 0) for n in _nodes()), default=0):g} CPUs and the cluster "
                f"{have.get('GPU', 0):g} GPUs",
                where="resources",
                hint="ask for less, for example with --gpus 0 --cpus 1",
            )

    def refresh(self) -> None:
        """Look at the nodes again, at most every `REFRESH_S`."""
        if time.monotonic() - self._asked_at < REFRESH_S:
            return
        self._asked_at = time.monotonic()
        fitting = sum(self._fitting(node["Resources"]) for node in _nodes())
        self.slots = min(fitting, self._concurrent or fitting)
        self.resources._total_resources = ray.cluster_resources()

    def _fitting(self, resources: dict[str, float]) -> int:
        counts = [resources.get("CPU", 0) // self._cpus]
        if self._gpus:
            have = resources.get("GPU", 0)
            counts.append(have * math.floor(1 / self._gpus + 1e-9) if self._gpus <= 1 else have // self._gpus)
        return int(min(counts))


def _nodes() -> list[dict[str, dict[str, float]]]:
    return [node for node in ray.nodes() if node["Alive"]]

