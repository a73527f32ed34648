"""How long a user waits: for `--help`, and from `tune-app run` to the first epoch result on the terminal.

Machine: printed with each line. Workload: search_spaces/digits_cnn.yaml with its preflight, on a Ray node that the
command starts itself; the clock stops when the line ``first result: …`` can be read, and the command is interrupted.
`--help` is the whole process.
Peer: none. Theoretical minimum for the first result: starting Ray's node, 0.8 s, and importing torch three times on two
cores, in the command and in two workers at the same time, a second of CPU time each.

    python benchmarks/startup.py [--runs 5]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TUNE_APP = [sys.executable, "-m", "tune_app"]


def first_result() -> float:
    """Seconds to the first epoch result."""
    with tempfile.TemporaryDirectory(prefix="startup-") as folder:
        command = [*TUNE_APP, "run", "search_spaces/digits_cnn.yaml", "--store", folder, "--profiles", folder]
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("first result"):
                seconds = time.perf_counter() - began
                break
        else:
            raise SystemExit("the sweep ended without a result")
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
        process.communicate()
        return seconds


def help_text() -> float:
    """Seconds of ``tune-app --help``."""
    began = time.perf_counter()
    subprocess.run([*TUNE_APP, "--help"], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def main() -> None:
    """Measure and print one JSON line per measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    machine = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    for name, measure in (("help", help_text), ("first result", first_result)):
        times = [measure() for _ in range(runs)]
        spread = {"median_s": statistics.median(times), "min_s": min(times), "max_s": max(times)}
        figures = {key: round(value, 2) for key, value in spread.items()}
        print(json.dumps({"measure": name, **figures, "runs": runs, **machine}), flush=True)


if __name__ == "__main__":
    main()
