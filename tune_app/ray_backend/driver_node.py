"""The node of this process: if it dies, so does the sweep."""

from __future__ import annotations

from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


def on_driver_node() -> dict[str, Any]:
    """Options of an actor that serves all trials.

    It runs on the node that started the sweep, because any other node may be lost, and with it everything the actor put
    into the object store. It takes no CPU from the trials. Ray places an actor without resources anywhere unless the
    strategy is hard.
    """
    node = ray.get_runtime_context().get_node_id()
    return {"num_cpus": 0, "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)}
