"""The memory of a process: freed blocks are reused, and the peak is measured since its last reset."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this C library is not glibc")

FAULTS = """
import resource, sys
import numpy as np
from tune_app.training.host_memory import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
for number in range(50):
    if number == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [np.ones(2**18) for _ in range(20)]  # 40 MiB in all: more than glibc keeps by itself
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PEAK = """
import numpy as np
from tune_app.training.host_memory import keep_freed_memory, peak_mb, restart_peak
keep_freed_memory()
blocks = [np.ones(2**17) for _ in range(100)]  # 100 MiB
high = peak_mb()
del blocks
print(restart_peak(), high - peak_mb())
"""


def output(code: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_freed_memory_is_reused() -> None:
    given_back, kept = (int(output(FAULTS, how)) for how in ("given-back", "kept"))
    assert kept < given_back / 10


def test_freed_memory_does_not_count_toward_the_next_peak() -> None:
    restarted, fallen = output(PEAK).split()
    if restarted == "False":
        pytest.skip("this system cannot reset the peak")
    assert float(fallen) > 80
