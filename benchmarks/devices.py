"""Training on two CPU devices against one: the same epochs of the same training, in turns.

Machine: printed with each line; on one with two cores the two processes use all of them, so other work slows them more
than the one. Workloads: `image_cnn` on 12,000 digits enlarged to 28x28 pixels (the size of
MNIST, a fifth of its rows), with its defaults and with twice the filters and four times the batch; `text_lstm` and
`small_gpt` (20 batches an epoch) with their defaults on the embedded texts. One torch thread per process, gloo on
loopback, the same global batch. Peer: the same training in one process. Both stay alive and train one epoch in
turns (ABAB); `ratio` is the seconds of an epoch on two over those of its neighbor on one. An epoch is training and
validation, which the first rank does alone, without health. The first pair of each workload is not counted: torch
warms up. `cpu_ratio` is the same for the CPU seconds of the first rank, which other work on the machine hardly
changes: the best that two devices of their own could reach. `loss_difference` is the largest difference between the
training and validation losses after the first epoch, with dropout switched off. Theoretical minimum of the ratios: 0.5,
plus half of the share that validation has.

    python benchmarks/devices.py [--pairs 8] [--workloads mnist-size …]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tune_app.datasets import load_dataset
from tune_app.datasets.dataset import Dataset
from tune_app.tasks import load_task, replica
from tune_app.training.trial import Training, prepared


def enlarged_digits() -> Dataset:
    """12,000 of the digits, each enlarged to MNIST's 28x28 pixels, with a little noise."""
    digits, rng = load_dataset("digits"), np.random.default_rng(0)
    rows = rng.integers(0, len(digits.train["images"]), 12_000)
    images = np.pad(np.kron(digits.train["images"][rows], np.ones((3, 3))), [(0, 0), (0, 0), (2, 2), (2, 2)])
    train = {"images": images + rng.normal(0, 1, images.shape), "labels": digits.train["labels"][rows]}
    return Dataset("mnist-size", "image", {**train, "images": train["images"].astype(np.float32)}, {}, digits.info)


NO_DROPOUT = ("dropout", "embedding_dropout", "recurrent_dropout", "dense_dropout")
WORKLOADS: dict[str, tuple[str, str | Callable[[], Dataset], dict[str, Any]]] = {
    "mnist-size": ("image_cnn", enlarged_digits, {}),
    "mnist-size, wide": ("image_cnn", enlarged_digits, {"filters": 32, "batch_size": 512}),
    "stdlib_docs": ("text_lstm", "stdlib_docs", {}),
    "python_reference": ("small_gpt", "python_reference", {"iterations": 20}),
}
"""Task, data set and changes to the task's defaults, by name."""


def start(workload: str, epochs: int) -> Training:
    """The training of the workload in this process."""
    name, source, changes = WORKLOADS[workload]
    task = load_task(name)
    config = {v.name: 0.0 if v.name in NO_DROPOUT else v.default for v in task.variables} | changes
    data = task.load_data(source) if isinstance(source, str) else source()
    return Training(task, config, prepared(task, config, data.without_test()), epochs=epochs, seed=0, threads=1)


def serve(workload: str, epochs: int, rank: int, size: int) -> None:
    """One process: train an epoch for each line of input; the first rank reports it."""
    if size > 1 and rank == 0:
        store, port = replica.open_store("127.0.0.1")
        print(port, flush=True)
        replica.join(store, rank, size, "cpu")
    elif size > 1:
        replica.join(("127.0.0.1", int(sys.stdin.readline())), rank, size, "cpu")
    training = start(workload, epochs)
    for _ in sys.stdin:
        if replica.leads():
            began = time.process_time()
            row = training.run_epoch()
            cpu_s = time.process_time() - began - row.health_s
            losses = [value for name, value in row.metrics.items() if name.endswith("loss")]
            print(json.dumps({"seconds": row.duration_s, "cpu_s": cpu_s, "losses": losses}), flush=True)
        else:
            training.follow_epoch()


class Processes:
    """One training in `size` processes."""

    def __init__(self, workload: str, epochs: int, size: int) -> None:
        command = [sys.executable, __file__, "--workloads", workload, "--epochs", str(epochs), "--size", str(size)]
        self._processes = [
            subprocess.Popen([*command, "--rank", str(rank)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for rank in range(size)
        ]
        if size > 1:
            port = self._answer()
            for process in self._processes[1:]:
                self._tell(process, port)

    def _tell(self, process: subprocess.Popen[str], line: str) -> None:
        assert process.stdin is not None
        process.stdin.write(line)
        process.stdin.flush()

    def _answer(self) -> str:
        assert self._processes[0].stdout is not None
        return self._processes[0].stdout.readline()

    def epoch(self) -> dict[str, Any]:
        """Seconds and losses of the next epoch."""
        for process in self._processes:
            self._tell(process, "epoch\n")
        told: dict[str, Any] = json.loads(self._answer())
        return told

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.kill()
            process.communicate()


def compare(workload: str, pairs: int) -> dict[str, Any]:
    """Both trainings in turns; the spread over the pairs."""
    one, two = (Processes(workload, pairs + 1, size) for size in (1, 2))
    found = [(one.epoch(), two.epoch()) for _ in range(pairs + 1)]
    for processes in (one, two):
        processes.close()
    first = zip(found[0][0]["losses"], found[0][1]["losses"], strict=True)
    one_s, two_s = ([pair[which]["seconds"] for pair in found[1:]] for which in (0, 1))
    one_cpu_s, two_cpu_s = ([pair[which]["cpu_s"] for pair in found[1:]] for which in (0, 1))
    return {
        "ratio": spread([b / a for a, b in zip(one_s, two_s, strict=True)]),
        "cpu_ratio": spread([b / a for a, b in zip(one_cpu_s, two_cpu_s, strict=True)]),
        "one_s": spread(one_s),
        "two_s": spread(two_s),
        "loss_difference": max(abs(a - b) for a, b in first),
        "pairs": pairs,
    }


def spread(values: list[float]) -> dict[str, float]:
    """Median and extremes."""
    return {
        "median": round(statistics.median(values), 3),
        "min": round(min(values), 3),
        "max": round(max(values), 3),
    }


def main() -> None:
    """Measure, print one JSON line per workload."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    for name in ("--epochs", "--rank", "--size"):
        parser.add_argument(name, type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.size:
        serve(given.workloads[0], given.epochs, given.rank, given.size)
        return
    machine = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    for workload in given.workloads:
        found = {"measure": "devices", "workload": workload, **compare(workload, given.pairs)}
        print(json.dumps({**found, "load": os.getloadavg()[0], **machine}), flush=True)


if __name__ == "__main__":
    main()
