"""The Ray cluster: connecting to one, or starting one on this machine for the duration of a sweep."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import ray
from ray.exceptions import AuthenticationError, RpcError
from ray.util.client import ray as client

from tune_app.environment import restored_environment
from tune_app.errors import InputError, WorkFailed
from tune_app.ray_backend.liveness import Liveness

if TYPE_CHECKING:
    from tune_app.ray_backend.local_node import LocalNode

log = logging.getLogger("tune_app")

INSIDE_DIFFERS = (ImportError, AttributeError, TypeError)
"""Errors from using Ray's internals if another release does not have them or changed them."""

TOKEN_HINT = "set RAY_AUTH_MODE=token, and put the cluster's token in ~/.ray/auth_token or RAY_AUTH_TOKEN"

CLIENT = "a sweep must join its cluster, which a Ray client does not do, but got "
CLIENT_HINT = (
    "on a node of the cluster, use the address HOST:6379; from elsewhere, `tune-app submit SPACE --address "
    "http://HOST:8265` runs the sweep there"
)


@contextmanager
def connected(
    address: str | None, fallback: Callable[[InputError], None] | None = None, liveness: Liveness | None = None
) -> Iterator[None]:
    """Use the cluster at `address` (``auto`` finds the one on this machine), or start one here temporarily.

    Without an address, ``RAY_ADDRESS`` counts, which Ray sets inside its jobs. Only the main thread may call this:
    Linux ends Ray's processes together with the thread that started them.

    Args:
        fallback: called if no cluster answers, and then this machine is used; without it, that is an error.
        liveness: watches the cluster, even while it starts.

    Raises:
        InputError: no cluster answers at the address, or it rejects us; the command is not Unicode.
        WorkFailed: Ray does not start on this machine.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    liveness = liveness or Liveness()
    with _silent_listeners(), ExitStack() as started:
        own = None
        if not address or address == "local":
            own = _connect_here(started, liveness)
        else:
            try:
                _connect(address)
            except NoCluster as error:
                if fallback is None:
                    raise
                fallback(error)
                own = _connect_here(started, liveness)
        started.callback(ray.shutdown)  # registered last, so called first
        liveness.follow(own)
        yield


def check_no_client() -> None:
    """Reject a process that is connected to a cluster as a Ray client."""
    if client.is_connected():
        raise InputError(f"{CLIENT}a process that is connected as one", hint=CLIENT_HINT)


@contextmanager
def _silent_listeners() -> Iterator[None]:
    """Print no traceback if the head dies while one of Ray's threads listens to it: `Liveness` reports that."""
    former = threading.excepthook

    def hook(raised: threading.ExceptHookArgs) -> None:
        name = raised.thread.name if raised.thread else ""
        if not (name.startswith("ray_") and issubclass(raised.exc_type, RpcError)):
            former(raised)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = former


def _connect_here(started: ExitStack, liveness: Liveness) -> LocalNode | None:
    """Start a node on this machine and connect to it; `started` ends it. Returns the node if it is the lean one.

    The lean node uses Ray's internals. If they differ in another release, `ray.init` starts a node, seconds slower.
    """
    try:
        from tune_app.ray_backend import local_node

        node = local_node.start_node(liveness.follow_start)
    except INSIDE_DIFFERS as error:
        liveness.forget()
        log.warning("Ray %s differs inside (%s): ray.init starts the node, which takes longer", ray.__version__, error)
        with restored_environment("PYTHONBREAKPOINT"):
            ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        return None
    except Exception as error:  # Ray raises anything, even bare exceptions
        raise _not_started(error) from error
    started.callback(local_node.end_node, node)
    try:
        _connect(node.address)
    except NoCluster as error:
        raise _not_started(error) from error
    return node


def _not_started(error: Exception) -> WorkFailed:
    return WorkFailed(
        f"Ray did not start on this machine: {first_sentence(error)}",
        hint="try again; if it keeps failing, look for what kills Ray's processes, such as a limit on memory or "
        "processes",
    )


def _connect(address: str) -> None:
    _check_answering(address)
    try:
        with restored_environment("PYTHONBREAKPOINT"):  # Ray sets it, and then `breakpoint()` waits for its debugger
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except AuthenticationError as error:
        raise _refused(address, error) from error
    except UnicodeEncodeError as error:
        raise InputError(
            f"the command and its folder must be Unicode, because Ray passes both on, but got {error.object!a:.300}",
            hint="rename what is not UTF-8",
        ) from error
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise _no_cluster(address, error) from error


def _check_answering(address: str) -> None:
    """Check the port first, and whether it accepts our token: Ray itself tries for minutes before it fails."""
    try:
        from ray._private import services
        from ray._raylet import GcsClient  # type: ignore[attr-defined]  # compiled, without types
    except ImportError:
        return  # Ray reports that case
    try:
        found = services.canonicalize_bootstrap_address_or_die(address) if address == "auto" else address
        if found.startswith("ray://"):
            raise InputError(f"{CLIENT}the client address `{found}`", hint=CLIENT_HINT)
        host, _, port = found.rpartition(":")
        if not host or not port.isdecimal() or "/" in host:
            raise InputError(
                f"a cluster's address must be HOST:PORT or auto, but got `{address}`",
                hint="such as head:6379; http://head:8265 is the job server, for `tune-app submit`",
            )
        if address == "auto":  # also finds a head bound to loopback, which Ray would not reach
            host = services.resolve_ip_for_localhost(host)
        socket.create_connection((host, int(port)), timeout=5).close()
        GcsClient(address=f"{host}:{port}")
    except AuthenticationError as error:
        raise _refused(address, error) from error
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, error) from error
    except RpcError:
        return  # Ray gives more details


def _refused(address: str, error: AuthenticationError) -> InputError:
    return InputError(f"the Ray cluster at `{address}` refused us: {first_sentence(error)}", hint=TOKEN_HINT)


def first_sentence(error: Exception) -> str:
    """The first sentence of a Ray error, which may be a page long."""
    return (str(error).strip().splitlines() or ["?"])[0].partition(". ")[0].removesuffix(".")


class NoCluster(InputError):
    """The error if no cluster answers at the address."""


def _no_cluster(address: str, error: Exception) -> NoCluster:
    return NoCluster(
        f"no Ray cluster answers at `{address}`: {(str(error).splitlines() or ['?'])[0]}",
        hint="start one with `ray start --head`, or use this machine: omit --address, or add --fallback local",
    )
