"""Slots: how many trials the cluster can run at once."""

from __future__ import annotations

import math
import time

import ray
from ray.air.execution.resources.fixed import FixedResourceManager
from ray.air.execution.resources.placement_group import PlacementGroupResourceManager
from ray.tune import PlacementGroupFactory

from tune_app.errors import InputError
from tune_app.ray_backend.autoscaling import Autoscaler
from tune_app.spaces.section import Resources

REFRESH_S = 2.0
"""How often to ask the cluster for its nodes."""


class _Groups(PlacementGroupResourceManager):
    """Tune's placement groups, at most `most` of them in use."""

    most = 0

    def has_resources_ready(self, resource_request: PlacementGroupFactory) -> bool:
        return len(self._acquired_pgs) < self.most and bool(super().has_resources_ready(resource_request))


class Slots:
    """How many trials the cluster can run at once, kept up to date as nodes come and go.

    A trial on one device is one actor, which Ray places. A trial on several devices gets a placement group, so that it
    has all its devices or waits for them; they are on one node if they fit. Its worker needs none.

    Args:
        resources: what each trial uses, with a known number of GPUs.
        trials: how many trials there are to run.

    Raises:
        InputError: no node is large enough for a trial, and no such node is starting.
    """

    def __init__(self, resources: Resources, trials: int = 1) -> None:
        self._each = resources
        devices, gpus = resources.devices, float(resources.gpus)
        self._bundle = {"CPU": resources.cpus, **({"GPU": gpus} if gpus else {})}
        bundles = [self._bundle] if devices == 1 else [{}, *[self._bundle] * devices]
        self.resources_per_trial = PlacementGroupFactory(bundles, strategy="PACK")
        self.resources = FixedResourceManager(ray.cluster_resources()) if devices == 1 else _Groups()
        self._autoscaler = Autoscaler([self._bundle] * devices)
        self._asked_at = -math.inf
        self.count = 0
        self.refresh(trials)
        if trials and not self.count and not self._autoscaler.starts():
            self.close()
            raise self._too_small()

    def close(self) -> None:
        """Request no more nodes."""
        self._autoscaler.release()

    def _too_small(self) -> InputError:
        have, devices = ray.cluster_resources(), self._each.devices
        a_trial = "a trial" if devices == 1 else f"each of a trial's {devices} devices"
        needs = f"{_units(self._each.cpus, 'CPU')} and {_units(float(self._each.gpus), 'GPU')}"
        return InputError(
            f"{a_trial} needs {needs} on one node, but the largest "
            f"node has {_units(max((n['Resources'].get('CPU', 0) for n in _nodes()), default=0), 'CPU')} and the "
            f"cluster {_units(have.get('CPU', 0), 'CPU')} and {_units(have.get('GPU', 0), 'GPU')}",
            where="resources",
            hint="request less, for example --gpus 0 --cpus 1" + (" --devices 1" if devices > 1 else ""),
        )

    def refresh(self, trials: int) -> None:
        """Recheck the nodes, at most every `REFRESH_S`, and request nodes for up to `trials` trials."""
        if time.monotonic() - self._asked_at < REFRESH_S:
            return
        self._asked_at = time.monotonic()
        self._autoscaler.want(min(trials, self._each.most or trials))
        self.count = count_slots(self._each)
        if isinstance(self.resources, _Groups):
            self.resources.most = self.count
        else:
            # Half a trial more, because the sum of many fractions may be slightly low.
            budget = {name: amount * (self.count + 0.5) for name, amount in self._bundle.items()}
            self.resources._total_resources = budget

    def limit(self, concurrent: int | None) -> None:
        """From now on, run at most this many trials at once; None for as many as fit."""
        self._each = self._each.model_copy(update={"concurrent": concurrent or "auto"})
        self._asked_at = -math.inf


def count_slots(resources: Resources) -> int:
    """How many trials the cluster's current nodes can run at once, see `Slots`; 0 if none is large enough."""
    each = [node["Resources"] for node in _nodes()]
    fitting = sum(resources.devices_on(node.get("CPU", 0), node.get("GPU", 0)) for node in each) // resources.devices
    return min(fitting, resources.most or fitting)


def _units(count: float, what: str) -> str:
    """An amount that may be a fraction, with its unit: ``1 CPU``, ``0.25 GPUs``."""
    return f"{count:g} {what if count == 1 else what + 's'}"


def _nodes() -> list[dict[str, dict[str, float]]]:
    return [node for node in ray.nodes() if node["Alive"]]
