"""Whether the Ray cluster that this process is connected to is still alive."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field
from typing import Any

from ray._private.worker import global_worker

GONE_S = 6.0
"""After this long without a response, a Ray process counts as dead. Ray itself waits a minute, then aborts."""
ANSWER_S = 2.0


@dataclass
class _Part:
    """A Ray process: its name, its address, and the process object if this process started it."""

    name: str
    place: tuple[str, int] | str
    started: list[Any]
    answered: float = field(default_factory=time.monotonic)

    def is_gone(self) -> bool:
        if any(info.process.poll() is not None for info in self.started):
            return True
        if _answers(self.place):
            self.answered = time.monotonic()
        return time.monotonic() - self.answered > GONE_S


class Liveness:
    """The two processes that a driver depends on: the cluster's head and the raylet on its own machine."""

    def __init__(self, started: Any = None) -> None:
        """Start watching; `started` is the node that this process started, if any."""
        self._parts: list[_Part] = []
        node = global_worker.node
        if node is None:  # a client of a cluster, by ray://, which has neither
            return
        host, _, port = node.gcs_address.rpartition(":")
        processes = {} if started is None else started.all_processes
        head = _Part("the head of the Ray cluster", (host.strip("[]"), int(port)), processes.get("gcs_server", []))
        raylet = _Part("the raylet of this machine", node.raylet_socket_name, processes.get("raylet", []))
        self._parts = [head, raylet]

    def lost(self) -> str | None:
        """What died, in words; None while both are alive."""
        return next((f"{part.name} died" for part in self._parts if part.is_gone()), None)


def _answers(place: tuple[str, int] | str) -> bool:
    try:
        if isinstance(place, tuple):
            socket.create_connection(place, timeout=ANSWER_S).close()
        else:
            with socket.socket(socket.AF_UNIX) as asked:
                asked.settimeout(ANSWER_S)
                asked.connect(place)
    except OSError:
        return False
    return True
