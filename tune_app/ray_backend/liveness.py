"""Whether the Ray cluster that this process starts or is connected to is still alive."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field
from typing import Any

from ray._private.worker import global_worker

GONE_S = 6.0
"""After this long without a response, a Ray process counts as dead. Ray itself waits a minute, then aborts."""
ANSWER_S = 2.0
NAMES = {"gcs_server": "the head of the Ray cluster", "raylet": "the raylet of this machine"}
"""Ray's executables that a driver depends on."""


@dataclass
class _Part:
    """A Ray process: its name, its address once it has one, and the process object if this process started it."""

    name: str
    place: tuple[str, int] | str | None
    started: list[Any]
    answered: float = field(default_factory=time.monotonic)

    def is_gone(self) -> bool:
        if any(process.poll() is not None for process in self.started):
            return True
        if self.place is None or _answers(self.place):
            self.answered = time.monotonic()
        return time.monotonic() - self.answered > GONE_S


class Liveness:
    """The two processes that a driver depends on: the cluster's head and the raylet on its own machine."""

    def __init__(self) -> None:
        self._parts: list[_Part] = []

    def follow_start(self, executable: str, process: Any) -> None:
        """Watch a process of the node that is starting: without it, Ray would wait up to a minute, then abort."""
        if executable in NAMES:
            self._parts = [*self._parts, _Part(NAMES[executable], None, [process])]

    def forget(self) -> None:
        """Watch nothing."""
        self._parts = []

    def follow(self, started: Any = None) -> None:
        """Watch the cluster that Ray is now connected to; `started` is the node that this process started, if any."""
        self.forget()
        node = global_worker.node
        host, _, port = node.gcs_address.rpartition(":")
        processes = {} if started is None else started.all_processes
        places = {"gcs_server": (host.strip("[]"), int(port)), "raylet": node.raylet_socket_name}
        self._parts = [
            _Part(NAMES[kind], place, [info.process for info in processes.get(kind, [])])
            for kind, place in places.items()
        ]

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
