"""The device that a training uses, and its memory."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Literal

import torch


def pick_device() -> torch.device:
    """The GPU that this process sees, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def cap_gpu_memory(share: float) -> None:
    """Let this process have `share` of its GPU's memory (0..1) and no more; nothing happens without CUDA.

    A trial that gets a fraction of a GPU must not take the memory that its neighbours were promised: beyond the cap it
    runs out of memory itself (``torch.cuda.set_per_process_memory_fraction``).
    """
    if torch.cuda.is_available() and 0 < share < 1:
        torch.cuda.set_per_process_memory_fraction(share)


def gpu_memory_in_use() -> tuple[int, int] | None:
    """Bytes in use on this process's GPU, by whatever uses it, and all that it has; None without CUDA.

    What torch's allocator once took it keeps, so that after a training this is the most that it needed.
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
