"""The node of this process, which a sweep stands and falls with."""

from __future__ import annotations

from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


def on_driver_node() -> dict[str, Any]:
    """Options of an actor that all trials ask for something.

    It runs where the sweep was started, because any other node may go, and what the actor put into the object store
    would be lost with it. It takes no CPU from the trials. An actor that needs nothing goes anywhere, says Ray, unless
    the strategy is a hard one.
    """
    node = ray.get_runtime_context().get_node_id()
    return {"num_cpus": 0, "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)}
