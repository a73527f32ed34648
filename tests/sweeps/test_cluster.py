"""Reaching a cluster, and what happens where there is none."""

from __future__ import annotations

import subprocess
import sys

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
