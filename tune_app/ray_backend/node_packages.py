"""Whether every node has the packages that a user's code needs."""

from __future__ import annotations

from collections.abc import Sequence

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tune_app.errors import WorkFailed
from tune_app.spaces.requirements import lacking, missing_here

ANSWER_S = 60.0
"""So long a node has to start a process and answer."""


def check_nodes(requirements: Sequence[str]) -> None:
    """Ask every node that trials can run on.

    Raises:
        InputError: a node lacks a package.
        WorkFailed: a node does not answer.
    """
    if not requirements:
        return
    nodes = {
        node["NodeID"]: node["NodeManagerAddress"]
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("CPU")  # a head may train nothing
    }
    asked = {
        node_id: ray.remote(lacking)
        .options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False))
        .remote(requirements)
        for node_id in nodes
    }
    for node_id, answer in asked.items():
        address = nodes[node_id]
        try:
            missing = ray.get(answer, timeout=ANSWER_S)
        except ray.exceptions.RayError as error:
            rule = f"the node {address} must say which packages it has, but {type(error).__name__}"
            raise WorkFailed(
                rule, hint="see whether tune-app is installed there, in the version of this machine"
            ) from error
        if missing:
            raise missing_here(f"the node {address}", missing, requirements)
