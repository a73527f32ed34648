"""The device that a training uses, and its memory."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Literal

import torch


def pick_device() -> torch.device:
    """The GPU that this process sees, otherwise the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def cap_gpu_memory(share: float) -> None:
    """Limit this process to `share` (0..1) of its GPU's memory; does nothing without CUDA.

    A trial with a fraction of a GPU must not use the memory promised to its neighbors: beyond the cap, it runs out of
    memory itself (``torch.cuda.set_per_process_memory_fraction``).
    """
    if torch.cuda.is_available() and 0 < share < 1:
        torch.cuda.set_per_process_memory_fraction(share)


def gpu_memory_in_use() -> tuple[int, int] | None:
    """Bytes in use on this process's GPU, by any process, and its total; None without CUDA.

    torch's allocator keeps its memory, so after a training this is the peak.
    """
    if not torch.cuda.is_available():
        return None
    free, total = torch.cuda.mem_get_info()
    return total - free, total


def gpu_count() -> int:
    """How many GPUs torch sees on this machine."""
    return torch.cuda.device_count()


def mps() -> Literal["runs", "offered", "absent"]:
    """Whether NVIDIA's Multi-Process Service runs on this machine, or could.

    With it, processes compute on a GPU at the same time; without it they take turns. Its control daemon has a pipe in
    ``$CUDA_MPS_PIPE_DIRECTORY``, by default ``/tmp/nvidia-mps`` (CUDA's documentation of MPS).
    """
    if Path(os.environ.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps"), "control").exists():
        return "runs"
    return "offered" if shutil.which("nvidia-cuda-mps-control") else "absent"
