"""What measuring the health costs: epochs with it and without it, in turns.

Machine: printed with each line. Workloads: each task with its defaults, one thread, on `digits`; on 12,000 synthetic
images of 28x28 pixels (the size of MNIST, a fifth of its rows); and on the embedded texts. In `digits-space`, each run
has another random configuration of `search_spaces/digits_cnn.yaml`, as its sweep draws them.
Peer: the same training without health. Two trainings with the same seed take turns, one epoch each, and the order
changes from pair to pair (ABBA). This gives two figures: `share`, the seconds of measuring over the seconds of
training, both of the same epoch, and `ratio`, the wall time of an epoch with health over that of its neighbor without,
which includes the effect of measuring on the work that follows.
The first pair of each run is not counted: torch warms up. `share_of_all` uses the seconds of all runs together.
`small_gpt` has 20 batches an epoch instead of its 100, so its share is five times that of the default.
Theoretical minimum: one forward and backward pass over the probe, printed as `pass_share`.

    python benchmarks/health.py [--runs 5] [--epochs 12] [--workloads digits mnist-size …]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from tune_app.datasets.dataset import Dataset
from tune_app.spaces.feasibility import sample
from tune_app.tasks import load_task
from tune_app.tasks.spec_file import load_spec
from tune_app.training.host_memory import keep_freed_memory
from tune_app.training.trial import Training, prepared

BAR = 0.05


def synthetic_images() -> Dataset:
    """12,000 images of random pixels with random labels, as large as MNIST's."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12_000, 1, 28, 28), dtype=np.uint8)
    train = {"images": images, "labels": rng.integers(0, 10, len(images))}
    return Dataset("mnist-size", "image", train, {}, {"classes": 10, "max_value": 255})


WORKLOADS: dict[str, tuple[str, str | Callable[[], Dataset], dict[str, Any]]] = {
    "digits": ("image_cnn", "digits", {}),
    "mnist-size": ("image_cnn", synthetic_images, {}),
    "stdlib_docs": ("text_lstm", "stdlib_docs", {}),
    "python_reference": ("small_gpt", "python_reference", {"iterations": 20}),
}
"""Task, data set and changes to the task's defaults, by name."""
SPACE = Path(__file__).parents[1] / "search_spaces" / "digits_cnn.yaml"
FROM_SPACE = "digits-space"


def start(workload: str, epochs: int, run: int = 0) -> Callable[[], Training]:
    """A function that starts identical trainings of the workload; each `run` has another configuration."""
    name, source, changes = WORKLOADS["digits" if workload == FROM_SPACE else workload]
    task = load_task(name)
    config = {v.name: v.default for v in task.variables} | changes
    if workload == FROM_SPACE:
        config = sample(load_spec(str(SPACE)).space, np.random.default_rng(run))
    data = task.load_data(source) if isinstance(source, str) else source()
    data = prepared(task, config, data.without_test())
    return lambda: Training(task, config, data, epochs=epochs, seed=0, threads=1)


def epoch_s(training: Training, measured: bool) -> float:
    """Wall seconds of the next epoch, with its health measured or not."""
    with nullcontext() if measured else patch.object(Training, "_measure_health", lambda self, metrics: {}):
        began = time.perf_counter()
        training.run_epoch()
        return time.perf_counter() - began


def pass_s(training: Training) -> float:
    """Seconds of a forward and backward pass over the probe: the median of 20."""
    task: Any = training.task
    model = training.state.model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    times = []
    for _ in range(20):
        began = time.perf_counter()
        torch.autograd.grad(task.probe_loss(training.state), trained, allow_unused=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def run(begin: Callable[[], Training], epochs: int) -> dict[str, float]:
    """Two trainings in turns; the medians over their epochs."""
    with_health, without = begin(), begin()
    ratios, shares = [], []
    for epoch in range(epochs):
        order = (True, False) if epoch % 2 else (False, True)
        seconds = {measured: epoch_s(with_health if measured else without, measured) for measured in order}
        if epoch:
            row = with_health.history[-1]
            ratios.append(seconds[True] / seconds[False])
            shares.append(row.health_s / row.duration_s)
    duration = statistics.median(row.duration_s for row in with_health.history)
    return {
        "share": round(statistics.median(shares), 4),
        "ratio": round(statistics.median(ratios), 4),
        "pass_share": round(pass_s(with_health) / duration, 4),
        "epoch_ms": round(1000 * duration, 1),
        "health_ms": round(1000 * statistics.median(row.health_s for row in with_health.history), 2),
    }


def main() -> None:
    """Measure, print one JSON line per run and a summary per workload."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--workloads", nargs="+", choices=[*WORKLOADS, FROM_SPACE], default=[*WORKLOADS, FROM_SPACE])
    given = parser.parse_args()
    keep_freed_memory()  # as a sweep's workers do
    machine = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    for workload in given.workloads:
        found = []
        for number in range(given.runs):
            found.append(run(start(workload, given.epochs, number), given.epochs))
            print(json.dumps({"measure": "health", "workload": workload, **found[-1], **machine}), flush=True)
        summary: dict[str, Any] = {"measure": "health, over the runs", "workload": workload, "bar": BAR}
        for figure in ("share", "ratio"):
            values = [one[figure] for one in found]
            summary[figure] = {"median": statistics.median(values), "min": min(values), "max": max(values)}
        summary["share_of_all"] = round(
            sum(one["health_ms"] for one in found) / sum(one["epoch_ms"] for one in found), 4
        )
        print(json.dumps({**summary, **machine}), flush=True)


if __name__ == "__main__":
    main()
