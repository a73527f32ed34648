"""What of the GPU's check needs no GPU runs here too, so that it is whole where there is one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

GPU_CHECK = Path(__file__).resolve().parents[1] / "benchmarks" / "gpu_check.py"


@pytest.mark.timeout(120)
def test_gpu_check_runs_on_a_cpu() -> None:
    checks = ["refused", "halves", "greedy"]
    command = [sys.executable, str(GPU_CHECK), "--device", "cpu", "--only", *checks]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    machine, *lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert machine["cores"]
    assert [(line["check"], line["passed"]) for line in lines] == [(name, True) for name in checks], done.stdout
    assert done.returncode == 0
