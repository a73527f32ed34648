"""The Ray cluster: reaching one, or starting one on this machine for the while of a sweep."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

# Ray reads these when it is imported or starts; our workers inherit them.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
from ray._private import ray_constants, services, utils
from ray._private.node import Node
from ray._private.parameter import RayParams
from ray._raylet import (  # type: ignore[attr-defined]  # compiled, without types
    DASHBOARD_AGENT_LISTEN_PORT_NAME,
    METRICS_AGENT_PORT_NAME,
    METRICS_EXPORT_PORT_NAME,
    RUNTIME_ENV_AGENT_PORT_NAME,
    GcsClient,
    persist_port,
)
from ray.exceptions import AuthenticationError, RpcError

from tune_app.errors import InputError

PRELOADED = "tune_app.ray_backend.worker,tune_app.training.trial"
"""What the workers of a local node import while they wait for the first trial."""

AGENT_PORTS = (
    METRICS_AGENT_PORT_NAME,
    METRICS_EXPORT_PORT_NAME,
    DASHBOARD_AGENT_LISTEN_PORT_NAME,
    RUNTIME_ENV_AGENT_PORT_NAME,
)
"""What a raylet's agents tell it, each in a file of the session."""

TOKEN_HINT = "set RAY_AUTH_MODE=token, and put the cluster's token into ~/.ray/auth_token or into RAY_AUTH_TOKEN"


@contextmanager
def connected(address: str | None, fallback: Callable[[InputError], None] | None = None) -> Iterator[None]:
    """Use the cluster at `address` (``auto`` finds the one of this machine), or one started here for the while.

    Without an address, ``RAY_ADDRESS`` counts, which Ray sets inside its jobs. Only the main thread may do this: Linux
    ends Ray's processes together with the thread that started them.

    Args:
        fallback: told that no cluster answers, and this machine is used instead; without it that is an error.

    Raises:
        InputError: no cluster answers at the address, or it refuses us.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    node = None
    try:
        if not address or address == "local":
            node = start_node()
            _connect(node.address)
        else:
            try:
                _connect(address)
            except NoCluster as error:
                if fallback is None:
                    raise
                fallback(error)
                node = start_node()
                _connect(node.address)
        yield
    finally:
        ray.shutdown()
        if node:
            node.kill_all_processes(check_alive=False, allow_graceful=False)
            ray_constants.ENABLE_RAY_CLUSTER = True
            del os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR]


def _connect(address: str) -> None:
    _check_answering(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except AuthenticationError as error:
        raise _refused(address, error) from error
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise _no_cluster(address, error) from error


def _check_answering(address: str) -> None:
    """Ask the port first, and whether it takes our token: Ray itself tries for minutes before it says so."""
    try:
        found = services.canonicalize_bootstrap_address_or_die(address) if address == "auto" else address
        host, _, port = found.removeprefix("ray://").rpartition(":")
        if not host or not port.isdecimal() or "/" in host:
            raise InputError(
                f"a cluster's address must be HOST:PORT, ray://HOST:PORT or auto, but got `{address}`",
                hint="such as head:6379; http://head:8265 is the job server's, for `tune-app submit`",
            )
        if address == "auto":  # a head that is bound to loopback is found too, where Ray would not reach it
            host = services.resolve_ip_for_localhost(host)
        socket.create_connection((host, int(port)), timeout=5).close()
        if not found.startswith("ray://"):
            GcsClient(address=f"{host}:{port}")
    except AuthenticationError as error:
        raise _refused(address, error) from error
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, error) from error
    except RpcError:
        return  # Ray says more about it


def _refused(address: str, error: AuthenticationError) -> InputError:
    return InputError(f"the Ray cluster at `{address}` refused us: {first_sentence(error)}", hint=TOKEN_HINT)


def first_sentence(error: Exception) -> str:
    """The beginning of an error of Ray, which goes on for a page."""
    return (str(error).strip().splitlines() or ["?"])[0].partition(". ")[0].removesuffix(".")


class NoCluster(InputError):
    """No cluster answers at the address."""


def _no_cluster(address: str, error: Exception) -> NoCluster:
    return NoCluster(
        f"no Ray cluster answers at `{address}`: {(str(error).splitlines() or ['?'])[0]}",
        hint="start one with `ray start --head`, or use this machine: leave --address away, or add --fallback local",
    )


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
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_preload_python_modules", PRELOADED)
    # On loopback alone: nobody else reaches it, and it stays when the machine changes its network. This process has
    # read the variable already.
    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False
    params = RayParams(
        include_dashboard=False,
        include_log_monitor=False,
        no_monitor=True,
        dashboard_agent_listen_port=0,  # its fixed port is taken where another Ray runs, and waiting for it costs 4 s
    )
    return LocalNode(params, head=True, shutdown_at_exit=True, spawn_reaper=True, ray_init_cluster=True)
