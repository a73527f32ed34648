"""What keeping freed memory for the next batch saves: the same training with malloc's own settings and with ours.

Machine: printed with each line. Workloads: those of `health.py`. Peer: the same training in a separate process in
which malloc returns freed memory to the system as it likes. The two take turns and the order changes from pair to pair
(ABBA). Theoretical minimum: a training whose pages are never faulted in again; `faults` are those of an epoch.

    python benchmarks/freed_memory.py [--runs 5] [--epochs 6] [--workloads digits mnist-size …]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
from typing import Any

from health import WORKLOADS, start

from tune_app.training.host_memory import keep_freed_memory


def train(workload: str, epochs: int, kept: bool) -> dict[str, float]:
    """Train in this process; medians over the epochs after the first, in which torch warms up."""
    if kept:
        assert keep_freed_memory(), "this C library is not glibc"
    training = start(workload, epochs)()
    seconds, faults = [], []
    for _ in range(epochs):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        seconds.append(training.run_epoch().duration_s)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return {"epoch_s": statistics.median(seconds[1:]), "faults": statistics.median(faults[1:])}


def trained_apart(workload: str, epochs: int, kept: bool) -> dict[str, float]:
    """`train` in a separate process."""
    command = [sys.executable, __file__, "--workloads", workload, "--epochs", str(epochs), "--train", str(int(kept))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    """Measure, print one JSON line per run and a summary per workload."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--train", type=int)
    given = parser.parse_args()
    if given.train is not None:
        print(json.dumps(train(given.workloads[0], given.epochs, bool(given.train))))
        return
    machine = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    for workload in given.workloads:
        ratios = []
        for run in range(given.runs):
            order = (True, False) if run % 2 else (False, True)
            found: dict[bool, dict[str, Any]] = {kept: trained_apart(workload, given.epochs, kept) for kept in order}
            ratios.append(found[True]["epoch_s"] / found[False]["epoch_s"])
            line = {"measure": "freed memory", "workload": workload, "kept": found[True], "given_back": found[False]}
            print(json.dumps({**line, **machine}), flush=True)
        summary = {"ratio": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}
        rounded = {name: round(value, 3) for name, value in summary.items()}
        print(json.dumps({"measure": "freed memory, kept / given back", "workload": workload, **rounded, **machine}))


if __name__ == "__main__":
    main()
