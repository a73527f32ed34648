"""Determines the share of a GPU for each trial: `gpus: auto`."""

from __future__ import annotations

import os
from typing import Any

import ray

from tune_app.credentials import drop_secrets
from tune_app.datasets.dataset import Dataset
from tune_app.document import Document
from tune_app.errors import InputError
from tune_app.import_path import put_last
from tune_app.ray_backend.autoscaling import Autoscaler
from tune_app.readable import counted
from tune_app.spaces.spec import Spec
from tune_app.sweep.preflight import GpuMemory, gpu_memory
from tune_app.tasks import load_task
from tune_app.tasks.spec_file import read_spec

SPARE = 0.15
"""Safety margin over the measured memory: allocators fragment, and batches differ."""


def trials_per_gpu(memory: GpuMemory) -> int:
    """How many trials fit on a GPU with `SPARE` for each; at least one, which then gets all of it."""
    return max(1, int(memory.total / (memory.used * (1 + SPARE))))


def measured_share(spec: Spec, data: Dataset) -> tuple[float, str]:
    """The share of a GPU that fits the largest configuration of `spec`, and how it was determined, in words.

    It is measured in a separate process, alone on a GPU of the cluster. If no node has a GPU, the share is 0: trials
    train on CPUs.

    Raises:
        InputError: the largest configuration cannot be trained; torch sees no GPU although Ray does.
    """
    autoscaler = Autoscaler([{"GPU": 1}])
    autoscaler.want(1)
    try:
        if not ray.cluster_resources().get("GPU") and not autoscaler.starts():
            return 0.0, "no node has a GPU: trials train on CPUs"
        # The process ends after this one call and frees the memory.
        measure = ray.remote(num_cpus=0, num_gpus=1, max_calls=1)(_measure)
        memory = ray.get(measure.remote(spec.to_dict(), ray.put(data.without_test()), os.getcwd()))
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None  # without Ray's frames around it
    finally:
        autoscaler.release()
    if memory is None:
        raise InputError(
            "`gpus: auto` measures the memory of a trial, but torch sees no GPU although Ray does",
            where=f"{spec.name} resources.gpus",
            hint="install torch with CUDA there, or pass a number, such as --gpus 0.25",
        )
    count = trials_per_gpu(memory)
    taken = f"{memory.used / 2**20:,.0f} of {memory.total / 2**20:,.0f} MiB"
    return 1 / count, f"the largest configuration takes {taken}: {counted(count, 'trial')} on each GPU"


def _measure(document: dict[str, Any], data: Dataset, import_path: str) -> GpuMemory | None:
    drop_secrets()
    put_last(import_path)
    spec = read_spec(Document.of(document, "search space"))
    return gpu_memory(spec, load_task(spec.task, spec.catalog), data)
