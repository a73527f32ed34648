"""Whether every node has what a user's code needs: its packages, and itself; what to say of a trial that lacks it."""

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
"""So long a node has to start a process and answer."""
LACKING_SIGNS = ("No such file or directory", "No module named", "there is no module", "can't open file")
"""What Python, its errors and shells say of a file or a module that is not there."""


def check_nodes(spec: Spec, folder: str) -> None:
    """Ask every node that trials can run on for the packages, and those of other machines for the module, of a task.

    Args:
        folder: from which a user's own task is imported.

    Raises:
        InputError: a node lacks a package, or has no module of that name or another one.
        WorkFailed: a node does not answer.
    """
    nodes = {
        node["NodeID"]: node["NodeManagerAddress"]
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("CPU")  # a head may train nothing
    }
    if spec.requirements:
        for address, missing in _answers(nodes, lacking, spec.requirements).items():
            if missing:
                raise missing_here(f"the node {address}", missing, spec.requirements)
    here = ray.get_runtime_context().get_node_id()
    others = {node: address for node, address in nodes.items() if node != here}
    if spec.task in TASKS or spec.task == SCRIPT or given_function(spec.task) is not None or not others:
        return  # a function that is given travels, and what a script needs is known when it runs
    module = spec.task.partition(":")[0]
    file, content = module_content(module, folder)
    for address, (_, found) in _answers(others, module_content, module, folder).items():
        if found != content:
            what = "it finds none" if found is None else "its own is another version"
            raise InputError(
                f"the node {address} must have the module `{module}` of the task as it is here, but {what}",
                hint=f"copy {file} there under the same path, or mount one folder on all nodes (docs/cluster.md)",
            )


def _answers(nodes: dict[str, str], question: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """What `question` gives on each node, by the node's address.

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
            rule = f"the node {address} must say what it has, but {type(error).__name__}"
            hint = "see whether tune-app is installed there, in the version of this machine"
            raise WorkFailed(rule, hint=hint) from error
    return found


def module_content(module: str, folder: str) -> tuple[str | None, str | None]:
    """The file of a module and the SHA-256 of its content, as this machine finds it, without importing it.

    None and None where there is no such module; the hash is empty for one that is no file, such as a folder.
    """
    for place in (folder, os.getcwd()):  # in the order of a trial
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
    """The error of a trial, with its node and its folder where something seems to be missing in that place alone.

    Args:
        driver: address of the node that the sweep was started on.
        folder: that it was started in.
    """
    node, here = ray.util.get_node_ip_address(), os.getcwd()
    if (node, here) == (driver, folder) or not any(sign in error for sign in LACKING_SIGNS):
        return error
    return (
        f"{error}; this was on the node {node} in {here}, and the sweep was started on {driver} in {folder}: "
        "what trials read or import must be on every node, under the same full path"
    )
