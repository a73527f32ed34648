"""A lean Ray node on this machine, for the while of a sweep."""

from __future__ import annotations

import os
import re
import sys
from functools import partial
from typing import Any
from unittest.mock import patch

from ray._private import ray_constants, services, utils
from ray._private.node import Node
from ray._private.parameter import RayParams
from ray._raylet import (  # type: ignore[attr-defined]  # compiled, without types
    DASHBOARD_AGENT_LISTEN_PORT_NAME,
    METRICS_AGENT_PORT_NAME,
    METRICS_EXPORT_PORT_NAME,
    RUNTIME_ENV_AGENT_PORT_NAME,
    persist_port,
)

from tune_app.environment import changed_environment
from tune_app.ray_backend import start_worker

PRELOADED = "tune_app.ray_backend.worker,tune_app.training.trial"
"""What the workers of a local node import while they wait for the first trial."""

AGENT_PORTS = (
    METRICS_AGENT_PORT_NAME,
    METRICS_EXPORT_PORT_NAME,
    DASHBOARD_AGENT_LISTEN_PORT_NAME,
    RUNTIME_ENV_AGENT_PORT_NAME,
)
"""What a raylet's agents tell it, each in a file of the session."""


class LocalNode(Node):
    """A Ray head on this machine, for one sweep: without Ray's dashboard, which nobody would open in the time."""

    def start_api_server(self, *, include_dashboard: bool | None, raise_on_failure: bool) -> None:
        """Nothing."""
        self._webui_url = ""

    def start_raylet(self, *arguments: Any, **settings: Any) -> None:
        """The raylet without its two agents, of which one serves a dashboard and one makes runtime environments.

        A sweep here uses neither, and their imports take a core for over a second while the workers need it. In the
        place of each waits ``cat``, which ends with the raylet at the other end of its pipe; that there is nothing to
        reach, which the agents would tell the raylet, is told here.
        """
        for service in AGENT_PORTS:
            persist_port(self.get_session_dir_path(), self.node_id, service, -1)
        start = services.start_ray_process

        def without_agents(command: list[str], *more: Any, **options: Any) -> Any:
            changed = [re.sub(r"(?s)^(--\w+_agent_command=).*", r"\1cat", word) for word in command]
            return start(changed, *more, **options)

        # Asked whether the dashboard's dependencies are there, Ray imports them all, in this process.
        unasked = patch.object(utils, "get_dashboard_dependency_error", lambda: None)
        with unasked, patch.object(services, "start_ray_process", without_agents):
            super().start_raylet(*arguments, **settings)


def start_node() -> LocalNode:
    """A Ray head on this machine that ends with this process, without autoscaler, log monitor and usage statistics.

    `ray.init` starts these too; on two cores they cost two seconds at the start and one at the end of every sweep.
    Its worker processes import torch while they wait for the first trial.

    Its processes are a session of their own: a signal to the whole group, as `timeout` and a shell send it, ends this
    process, which ends them. If they got it as well, Ray would end this process before it could say and save anything.
    """
    # The node's processes inherit these. On loopback alone: nobody else reaches it, and it stays when the machine
    # changes its network.
    defaults = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_preload_python_modules": PRELOADED}
    inherited = {name: os.environ.get(name, value) for name, value in defaults.items()}
    inherited[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    _set_loopback(True)
    params = RayParams(
        include_dashboard=False,
        include_log_monitor=False,
        no_monitor=True,
        worker_path=start_worker.__file__,
        dashboard_agent_listen_port=0,  # its fixed port is taken where another Ray runs, and waiting for it costs 4 s
    )
    # Linux ends them with this process; elsewhere Ray does, by their process group.
    apart = partial(services.ConsolePopen, start_new_session=sys.platform == "linux")
    try:
        with changed_environment(inherited), patch.object(services, "ConsolePopen", apart):
            return LocalNode(params, head=True, shutdown_at_exit=True, spawn_reaper=True, ray_init_cluster=True)
    except BaseException:
        _set_loopback(False)
        raise


def end_node(node: LocalNode) -> None:
    """End all processes of the node: there is nothing to save."""
    node.kill_all_processes(check_alive=False, allow_graceful=False)
    _set_loopback(False)


def _set_loopback(alone: bool) -> None:
    """Whether this process looks for its node on loopback; it has read the variable for that already."""
    ray_constants.ENABLE_RAY_CLUSTER = not alone
