"""This process's memory: keeping freed memory, and the peak."""

from __future__ import annotations

import ctypes
from pathlib import Path

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Numbers of malloc's settings, mallopt(3)."""
KEPT_BYTES = 256 * 2**20
"""This much free memory stays at the end of the heap, and smaller allocations come from the heap."""


def keep_freed_memory() -> bool:
    """Let malloc keep what is freed for the next batch; False if the C library is not glibc.

    By default, glibc returns the tensors of a batch to the system, and the next batch allocates the same pages again,
    each cleared and faulted in: 0 to 16% of the training time on a CPU, depending on the task
    (benchmarks/freed_memory.py).
    """
    mallopt = _glibc("mallopt")
    return mallopt is not None and all(mallopt(number, KEPT_BYTES) for number in (_TRIM_THRESHOLD, _MMAP_THRESHOLD))


def restart_peak() -> bool:
    """Start measuring `peak_mb`; False if the peak so far cannot be reset, so that the measurement would be wrong."""
    trim = _glibc("malloc_trim")
    if trim is not None:
        trim(0)  # otherwise memory freed by an earlier training counts for this one
    try:
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): 5 resets the peak resident set size
    except OSError:
        return False
    return True


def peak_mb() -> float | None:
    """Peak memory of the process since `restart_peak`, in MiB; None if the system does not report it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return None


def _glibc(name: str) -> ctypes._NamedFuncPointer | None:
    return getattr(ctypes.CDLL(None), name, None)
