"""What this process holds of its machine's memory: what it frees and keeps, and the most that it held."""

from __future__ import annotations

import ctypes
from pathlib import Path

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Numbers of malloc's settings, mallopt(3)."""
KEPT_BYTES = 256 * 2**20
"""So much that is free at the end of the heap stays, and what is smaller is taken from the heap."""


def keep_freed_memory() -> bool:
    """Let malloc keep what is freed for the next batch; False where the C library is not glibc.

    By default glibc gives the tensors of a batch back to the system and the next batch takes the same pages anew, each
    cleared and faulted in: nothing to 16% of a training's time on a CPU, by its kind (benchmarks/freed_memory.py).
    """
    mallopt = _glibc("mallopt")
    return mallopt is not None and all(mallopt(number, KEPT_BYTES) for number in (_TRIM_THRESHOLD, _MMAP_THRESHOLD))


def restart_peak() -> bool:
    """Begin measuring `peak_mb`; False where the peak so far cannot be forgotten, so that a figure would be false."""
    trim = _glibc("malloc_trim")
    if trim is not None:
        trim(0)  # else what an earlier training freed counts for this one
    try:
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): 5 resets the peak resident set size
    except OSError:
        return False
    return True


def peak_mb() -> float | None:
    """Most MiB that the process held since `restart_peak`; None where the system does not tell."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return None


def _glibc(name: str) -> ctypes._NamedFuncPointer | None:
    return getattr(ctypes.CDLL(None), name, None)
