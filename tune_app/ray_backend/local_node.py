"""A lean Ray node on this machine for the duration of a sweep."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from ray._private import node as ray_node
from ray._private import ray_constants, services, utils
from ray._private.node import Node
from ray._private.parameter import RayParams
from ray._raylet import (  # type: ignore[attr-defined]  # compiled, without types
    DASHBOARD_AGENT_LISTEN_PORT_NAME,
    METRICS_AGENT_PORT_NAME,
    METRICS_EXPORT_PORT_NAME,
    RUNTIME_ENV_AGENT_PORT_NAME,
    persist_port,
    wait_for_persisted_port,
)

from tune_app.environment import changed_environment
from tune_app.ray_backend import start_worker

PRELOADED = "tune_app.ray_backend.worker,tune_app.training.trial"
"""Modules that the workers of a local node import while they wait for the first trial."""

PORT_PERIOD_S = 0.01
AGENT_PORTS = (
    METRICS_AGENT_PORT_NAME,
    METRICS_EXPORT_PORT_NAME,
    DASHBOARD_AGENT_LISTEN_PORT_NAME,
    RUNTIME_ENV_AGENT_PORT_NAME,
)
"""The files in which a raylet's agents report to it."""


class LocalNode(Node):
    """A Ray head on this machine for one sweep, without Ray's dashboard, which nobody would open."""

    def start_api_server(self, *, include_dashboard: bool | None, raise_on_failure: bool) -> None:
        """Nothing."""
        self._webui_url = ""

    def start_raylet(self, *arguments: Any, **settings: Any) -> None:
        """The raylet without its two agents, one for the dashboard and one for runtime environments.

        A local sweep uses neither, and their imports take a core for over a second while the workers need it. ``cat``
        takes the place of each; it ends with the raylet at the other end of its pipe. The agents would report their
        ports to the raylet; this reports that there are none.
        """
        for service in AGENT_PORTS:
            persist_port(self.get_session_dir_path(), self.node_id, service, -1)
        start = services.start_ray_process

        def without_agents(command: list[str], *more: Any, **options: Any) -> Any:
            changed = [re.sub(r"(?s)^(--\w+_agent_command=).*", r"\1cat", word) for word in command]
            return start(changed, *more, **options)

        # Ray would check the dashboard's dependencies by importing all of them in this process.
        unasked = patch.object(utils, "get_dashboard_dependency_error", lambda: None)
        with unasked, patch.object(services, "start_ray_process", without_agents):
            super().start_raylet(*arguments, **settings)


def _wait_for_port(folder: str, node_id: str, service: str, timeout_ms: int) -> int:
    """Ray's function, whose compiled loop would keep Python's other threads waiting, such as the preflight's."""
    deadline = time.monotonic() + timeout_ms / 1000
    while True:
        try:
            return int(wait_for_persisted_port(folder, node_id, service, timeout_ms=1, poll_interval_ms=1))
        except RuntimeError:  # not yet
            if time.monotonic() > deadline:
                raise
        time.sleep(PORT_PERIOD_S)


def start_node(follow: Callable[[str, Any], None] = lambda executable, process: None) -> LocalNode:
    """A Ray head on this machine that ends with this process, without autoscaler, log monitor and usage statistics.

    `ray.init` also starts these; on two cores they cost two seconds at the start and one at the end of every sweep.
    Its worker processes import torch while they wait for the first trial.

    Its processes have their own session: a signal to the whole group, as sent by `timeout` and shells, ends this
    process, which ends them. If they also got it, Ray would end this process before it could save or print anything.

    Args:
        follow: gets each process that it starts, with the name of its executable.
    """
    # The node's processes inherit these. Loopback only: nobody else can reach it, and it survives a network change.
    # While this process connects, a raylet that waits a minute for a dead head would make it wait, too.
    defaults = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_preload_python_modules": PRELOADED,
        "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
    }
    inherited = {name: os.environ.get(name, value) for name, value in defaults.items()}
    inherited[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    _set_loopback(True)
    params = RayParams(
        include_dashboard=False,
        include_log_monitor=False,
        no_monitor=True,
        worker_path=start_worker.__file__,
        dashboard_agent_listen_port=0,  # another Ray may have its fixed port, and waiting for that costs 4 s
    )

    def start_apart(command: list[str], *more: Any, **options: Any) -> Any:
        # Linux ends them with this process; elsewhere Ray does, through their process group.
        process = popen(command, *more, **options, start_new_session=sys.platform == "linux")
        follow(Path(command[0]).name, process)
        return process

    popen = services.ConsolePopen
    try:
        with (
            changed_environment(inherited),
            patch.object(services, "ConsolePopen", start_apart),
            patch.object(ray_node, "wait_for_persisted_port", _wait_for_port),
        ):
            return LocalNode(params, head=True, shutdown_at_exit=True, spawn_reaper=True, ray_init_cluster=True)
    except BaseException:
        _set_loopback(False)
        raise


def end_node(node: LocalNode) -> None:
    """End all processes of the node: there is nothing to save."""
    node.kill_all_processes(check_alive=False, allow_graceful=False)
    _set_loopback(False)


def _set_loopback(alone: bool) -> None:
    """Whether this process looks for its node on loopback; it reads the variable only once."""
    ray_constants.ENABLE_RAY_CLUSTER = not alone
