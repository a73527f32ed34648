"""Reaching a cluster, and what happens where there is none."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tune_app.cluster import connected
from tune_app.errors import InputError

CODE = """
import ray
from tune_app.cluster import connected
with connected("127.0.0.1:1", lambda error: print(error.message)):
    print(ray.cluster_resources()["CPU"] > 0)
"""


def test_a_sweep_may_fall_back_to_this_machine_and_is_told_so() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "no Ray cluster answers at `127.0.0.1:1`: [Errno 111] Connection refused",
        "True",
    ]


@pytest.mark.parametrize("address", ["http://head:8265", "head", ":6379", "head:port", "ray://head"])
def test_what_is_no_address_of_a_cluster_is_refused_and_no_reason_to_fall_back(address: str) -> None:
    with pytest.raises(InputError, match="must be HOST:PORT") as caught, connected(address, pytest.fail):
        pass
    assert "`tune-app submit`" in caught.value.hint


LOOPBACK = """
import ray, socket
from ray._private.services import node_ip_address_from_perspective
from tune_app.cluster import connected
with connected(None):
    node = ray.nodes()[0]
    print(node["NodeManagerAddress"])
    try:
        socket.create_connection((node_ip_address_from_perspective(), node["NodeManagerPort"]), timeout=5)
    except OSError as error:
        print(type(error).__name__)
"""


def test_the_node_of_a_sweep_here_is_reached_through_loopback_alone() -> None:
    done = subprocess.run([sys.executable, "-c", LOOPBACK], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["127.0.0.1", "ConnectionRefusedError"]
