"""Slots: how many trials the cluster holds at once."""

from __future__ import annotations

import math
import time

import ray
from ray.air.execution.resources.fixed import FixedResourceManager

from tune_app.errors import InputError

REFRESH_S = 2.0
"""How often the cluster is asked which nodes it has."""


class Slots:
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
        self.count = 0
        self.refresh()
        if not self.count:
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
        self.count = min(fitting, self._concurrent or fitting)
        self.resources._total_resources = ray.cluster_resources()

    def _fitting(self, resources: dict[str, float]) -> int:
        counts = [resources.get("CPU", 0) // self._cpus]
        if self._gpus:
            have = resources.get("GPU", 0)
            counts.append(have * math.floor(1 / self._gpus + 1e-9) if self._gpus <= 1 else have // self._gpus)
        return int(min(counts))


def _nodes() -> list[dict[str, dict[str, float]]]:
    return [node for node in ray.nodes() if node["Alive"]]
