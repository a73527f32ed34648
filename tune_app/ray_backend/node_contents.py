"""Checks whether every node has a user's code and its packages; the message for a trial that lacks something."""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tune_app.errors import InputError, WorkFailed
from tune_app.import_path import put_last
from tune_app.spaces.requirements import lacking, missing_here
from tune_app.spaces.script import SCRIPT
from tune_app.spaces.spec import Spec
from tune_app.tasks import TASKS
from tune_app.tasks.given_function import given_function

ANSWER_S = 60.0
"""How long a node has to start a process and respond."""
LACKING_SIGNS = ("No such file or directory", "No module named", "there is no module", "can't open file")
"""How Python and shells report a missing file or module."""


def check_nodes(spec: Spec, folder: str) -> None:
    """Check that every node for trials has a task's packages, and that other machines have its module.

    Args:
        folder: from which a user's own task is imported.

    Raises:
        InputError: a node lacks a package, or its module is missing or different.
        WorkFailed: a node does not answer.
    """
    nodes = {
        node["NodeID"]: node["NodeManagerAddress"]
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("CPU")  # a head may not train
    }
    if spec.requirements:
        for address, missing in _answers(nodes, lacking, spec.requirements).items():
            if missing:
                raise missing_here(f"the node {address}", missing, spec.requirements)
    here = ray.get_runtime_context().get_node_id()
    others = {node: address for node, address in nodes.items() if node != here}
    if spec.task in TASKS or spec.task == SCRIPT or given_function(spec.task) is not None or not others:
        return  # a given function is sent along, and the needs of a script only show when it runs
    module = spec.task.partition(":")[0]
    file, content = module_content(module, folder)
    for address, (_, found) in _answers(others, module_content, module, folder).items():
        if found != content:
            what = "it is missing" if found is None else "its version differs"
            raise InputError(
                f"the node {address} must have the same module `{module}` of the task, but {what}",
                hint=f"copy {file} there at the same path, or mount a shared folder on all nodes (docs/cluster.md)",
            )


def _answers(nodes: dict[str, str], question: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """The result of `question` on each node, by the node's address.

    Raises:
        WorkFailed: a node does not answer.
    """
    asked = {
        address: ray.remote(question)
        .options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False))
        .remote(*arguments)
        for node_id, address in nodes.items()
    }
    found = {}
    for address, answer in asked.items():
        try:
            found[address] = ray.get(answer, timeout=ANSWER_S)
        except ray.exceptions.RayError as error:
            rule = f"the node {address} must report what it has, but {type(error).__name__}"
            hint = "check that tune-app is installed there, in the same version as here"
            raise WorkFailed(rule, hint=hint) from error
    return found


def module_content(module: str, folder: str) -> tuple[str | None, str | None]:
    """The file of a module and the SHA-256 of its content, as this machine finds it, without importing it.

    None and None if there is no such module; the hash is empty if it is not a file, such as a folder.
    """
    for place in (folder, os.getcwd()):  # in the same order as in a trial
        put_last(place)
    importlib.invalidate_caches()
    parts = module.split(".")
    places: Any = None
    file: str | None = None
    for number in range(1, len(parts) + 1):
        name = ".".join(parts[:number])
        finders = (finder.find_spec(name, places) for finder in sys.meta_path if hasattr(finder, "find_spec"))
        found = next((spec for spec in finders if spec is not None), None)
        if found is None:
            return None, None
        file, places = found.origin, found.submodule_search_locations
    is_file = file is not None and Path(file).is_file()
    return file, hashlib.sha256(Path(file).read_bytes()).hexdigest() if is_file and file is not None else ""


def told_with_place(error: str, driver: str, folder: str) -> str:
    """The error of a trial, with its node and folder if something seems to be missing only there.

    Args:
        driver: address of the node that the sweep was started on.
        folder: where it was started.
    """
    node, here = ray.util.get_node_ip_address(), os.getcwd()
    if (node, here) == (driver, folder) or not any(sign in error for sign in LACKING_SIGNS):
        return error
    return (
        f"{error}; this was on the node {node} in {here}, and the sweep was started on {driver} in {folder}: "
        "everything that trials read or import must be on every node at the same full path"
    )
