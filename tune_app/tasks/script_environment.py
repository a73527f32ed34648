"""The environment of a script: its share of the machine, and the programs of the current Python."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import torch

from tune_app.credentials import inherited_environment
from tune_app.errors import InputError
from tune_app.spaces.script import COMMAND, SCRIPT

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
CUDA_OPTIONS = "PYTORCH_CUDA_ALLOC_CONF"
TORCH_WITH_SHARE = (2, 13)
"""The first version of torch whose `CUDA_OPTIONS` are known to support a share of the GPU's memory."""


def environment(device: torch.device, runs: str) -> dict[str, str]:
    """The environment of a script: the trial's share of the machine, and unbuffered output.

    Args:
        runs: the program to start.
    """
    threads = dict.fromkeys(THREAD_VARIABLES, str(torch.get_num_threads()))
    found = {**inherited_environment(), **threads, "PYTHONUNBUFFERED": "1", "PATH": search_path()}
    if device.type != "cuda":
        return {**found, "CUDA_VISIBLE_DEVICES": ""}
    found.setdefault("CUDA_VISIBLE_DEVICES", "0")
    share = getattr(torch.cuda, "get_per_process_memory_fraction", lambda: 1.0)()  # not in the oldest torch
    if share < 1:
        found["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{share:g}"
        # Another Python's torch may be older, and an unknown option would crash the script.
        if runs == sys.executable and tuple(map(int, torch.__version__.split(".")[:2])) >= TORCH_WITH_SHARE:
            options = [found[CUDA_OPTIONS]] if CUDA_OPTIONS in found else []
            found[CUDA_OPTIONS] = ",".join([*options, f"per_process_memory_fraction:{share:g}"])
    return found


def search_path() -> str:
    """PATH with the programs of the current Python first, so that programs installed with tune-app are found."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def program(name: str, folder: str) -> str:
    """The program for the first word of a command: the current Python for ``python``, otherwise unchanged.

    Args:
        folder: where the command runs.

    Raises:
        InputError: there is no such program.
    """
    if name == "python":
        return sys.executable
    places = [folder] if os.sep in name else search_path().split(os.pathsep)
    if not any(shutil.which(os.path.join(place, name)) for place in places):
        where = f"in {folder}" if os.sep in name else "on the PATH"
        raise InputError(
            f"`{COMMAND}` must start with a program, but there is no `{name}` {where}",
            where=f"task {SCRIPT}",
            hint="`python` is the Python that runs tune-app",
        )
    return name
