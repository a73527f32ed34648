"""The parts of the GPU check that need no GPU, so that it works when there is one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

GPU_CHECK = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu_check.py"


def test_gpu_check_runs_on_a_cpu(node: str) -> None:
    checks = ["refused", "halves", "greedy", "own"]
    command = [sys.executable, str(GPU_CHECK), "--device", "cpu", "--only", *checks]
    environment = {**os.environ, "RAY_ADDRESS": node}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=150, env=environment)
    machine, *lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert machine["cores"]
    assert [(line["check"], line["passed"]) for line in lines] == [(name, True) for name in checks], done.stdout
    assert done.returncode == 0
