"""The Ray cluster: reaching one, or starting one on this machine for the while of a sweep."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

# Ray reads these when it is imported or starts; our workers inherit them.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
from ray._private.node import Node
from ray._private.parameter import RayParams

from tune_app.errors import InputError

PRELOADED = "tune_app.worker,tune_app.trial"
"""What the workers of a local node import while they wait for the first trial."""


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Use the cluster at `address` (``auto`` finds the one of this machine), or one started here for the while.

    Without an address, ``RAY_ADDRESS`` counts, which Ray sets inside its jobs. Only the main thread may do this: Linux
    ends Ray's processes together with the thread that started them.

    Raises:
        InputError: no cluster answers at the address.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    node = start_node() if not address or address == "local" else None
    try:
        _connect(node.address if node else str(address))
        yield
    finally:
        ray.shutdown()
        if node:
            node.kill_all_processes(check_alive=False, allow_graceful=False)


def _connect(address: str) -> None:
    _check_listening(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise _no_cluster(address, error) from error


def _check_listening(address: str) -> None:
    """Ask the port first: Ray itself tries for minutes before it says that nobody answers."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: Exception) -> InputError:
    return InputError(
        f"no Ray cluster answers at `{address}`: {(str(error).splitlines() or ['?'])[0]}",
        hint="start one with `ray start --head`, or leave --address away to use this machine",
    )


class LocalNode(Node):
    """A Ray head on this machine, for one sweep: without Ray's dashboard, which nobody would open in the time."""

    def start_api_server(self, *, include_dashboard: bool | None, raise_on_failure: bool) -> None:
        """Nothing."""
        self._webui_url = ""


def start_node() -> LocalNode:
    """A Ray head on this machine that ends with this process, without autoscaler, log monitor and usage statistics.

    `ray.init` starts these too; on two cores they cost two seconds at the start and one at the end of every sweep.
    Its worker processes import torch while they wait for the first trial.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_preload_python_modules", PRELOADED)
    params = RayParams(
        include_dashboard=False,
        include_log_monitor=False,
        no_monitor=True,
        dashboard_agent_listen_port=0,  # its fixed port is taken where another Ray runs, and waiting for it costs 4 s
    )
    return LocalNode(params, head=True, shutdown_at_exit=True, spawn_reaper=True, ray_init_cluster=True)
