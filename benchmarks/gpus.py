"""Trials side by side on one GPU: 1, 2, 4, 8 and 16 of them, in trials per hour.

Machine: printed with each line; it needs a GPU that torch and Ray see. Workload: 32 random configurations of
search_spaces/python_reference_gpt.yaml (the same in each run, by the seed), 2 epochs, no pruning, one CPU core each or
what there is; the text is embedded. The figure is the trials over the time from the first start to the last end.
Peer: one trial at a time on the whole GPU. Theoretical maximum: as many times that as trials run side by side, until
the GPU is busy all the time. Each trial's memory is capped at its share, so that a run shows whether all of them fit:
`failed` counts those that did not.

    python benchmarks/gpus.py [--shares 1 2 4 8 16] [--runs 3]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SPACE = ROOT / "search_spaces" / "python_reference_gpt.yaml"
TRIALS, EPOCHS = 32, 2


def run(share: int, seed: int, folder: Path) -> dict[str, Any]:
    """One sweep with `share` trials on the GPU."""
    command = [sys.executable, "-m", "tune_app", "run", str(SPACE), "--store", str(folder), "--name", "gpus", "--json"]
    command += ["--trials", str(TRIALS), "--epochs", str(EPOCHS), "--pruning", "off", "--sampler", "random"]
    command += [
        "--seed",
        str(seed),
        "--gpus",
        str(1 / share),
        "--concurrent",
        str(share),
        "--no-preflight",
        "--no-fuse",
    ]
    command += ["--cpus", str(min(1.0, (os.cpu_count() or 1) / share))]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    import pandas as pd

    table = pd.read_parquet(folder / "trials" / "study=gpus")
    span = (table["ended_at"].max() - table["started_at"].min()).total_seconds()
    return {
        "side_by_side": share,
        "seed": seed,
        "trials_per_hour": round(3600 * len(table) / span),
        "failed": int((table["state"] == "FAILED").sum()),
        "peak_memory_mb": round(float(table["peak_memory_mb"].max())),
        "device": table["device"].iloc[0],
    }


def main() -> None:
    """Measure in turns, print one JSON line per run and one per number of trials side by side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shares", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        sys.exit("torch sees no GPU here, so there is nothing to measure")
    found: dict[int, list[int]] = {share: [] for share in given.shares}
    for seed in range(given.runs):
        for share in given.shares:
            with tempfile.TemporaryDirectory() as folder:
                one = run(share, seed, Path(folder))
            found[share].append(one["trials_per_hour"])
            print(json.dumps({"measure": "gpus", **one, "cores": os.cpu_count()}), flush=True)
    alone = found[given.shares[0]]
    for share, values in found.items():
        ratios = sorted(round(value / first, 2) for value, first in zip(values, alone, strict=True))
        print(
            json.dumps({"measure": f"trials per hour, {share} over {given.shares[0]} side by side", "ratios": ratios})
        )


if __name__ == "__main__":
    main()
