"""How soon a reader of the store sees what happens in a sweep, and what reporting it costs.

Machine: printed with each line. Workload: 60 trials of a task that sleeps through two epochs of 0.6 s in 40 batches,
six at a time; a separate process reads ``live.json`` every 5 ms, as the page and the API do.
`start_to_visible_ms`: from the moment a worker starts a trial to the first reading that contains it.
`end_to_visible_ms`: from a trial's last event in the log to the first reading in which it no longer runs.
`between_fractions_ms`: from one fraction of an epoch that a reader sees to the next one of the same trial.
`lost`: trials whose last epoch is not in the tables, or which a reader never saw running.
`cost`: a worker's seconds of reporting over the seconds of its epochs.
Peer: none. Theoretical minimum: the trial travels through one message of Ray and one file.

    python benchmarks/live.py [--runs 3]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

ROOT = Path(__file__).resolve().parents[1]
BATCHES, BATCH_S, EPOCHS, TRIALS, SLOTS = 40, 0.015, 2, 60, 6
SPACE = f"""
schema_version: 1
name: sleeping
task: live:Sleeper
dataset: none
objective: {{metric: score}}
budget: {{trials: {TRIALS}, epochs: {EPOCHS}}}
search: {{sampler: random}}
pruning: {{level: "off"}}
resources: {{cpus: 0.25, concurrent: {SLOTS}}}
parameters:
  training:
    level: {{type: float, low: 0.0, high: 1.0}}
"""
BAR_MS = 250


def _variables() -> tuple[Any, ...]:
    from tune_app.spaces.variable import Float, Variable

    return (Variable("level", "training", Float(0.0, 1.0), 0.5, "The score."),)


class Sleeper:
    """A task that sleeps, and records when its batches are done and how long reporting took."""

    data_kind: ClassVar[str] = "none"
    variables: ClassVar[tuple[Any, ...]] = _variables()
    constraints: ClassVar[tuple[str, ...]] = ()
    metrics: ClassVar[Mapping[str, str]] = {"score": "maximize", "began": "maximize", "telling_s": "minimize"}

    def load_data(self, dataset: str) -> Any:
        """No data."""
        from tune_app.datasets.dataset import Dataset

        return Dataset("none", "none", {}, {})

    def start(self, config: dict[str, Any], data: Any, *, epochs: int, seed: int, device: Any) -> Any:
        """A state without a model."""
        return _State(config["level"])

    def train_epoch(self, state: Any, epoch: int, progress: Any) -> Mapping[str, float]:
        """Sleep; the time of the trial's start and the seconds of reporting are metrics."""
        telling = 0.0
        for batch in range(BATCHES):
            time.sleep(BATCH_S)
            before = time.perf_counter()
            progress((batch + 1) / BATCHES)
            telling += time.perf_counter() - before
        return {"score": state.level, "began": state.began, "telling_s": telling}

    def evaluate(self, state: Any, arrays: Any) -> Mapping[str, float]:
        """Nothing to measure."""
        return {}


class _State:
    def __init__(self, level: float) -> None:
        import torch

        self.level, self.began = level, time.time()
        self.model = torch.nn.Identity()

    def state_dict(self) -> dict[str, Any]:
        """The level and the start."""
        return {"level": self.level, "began": self.began}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """The level and the start."""
        self.level, self.began = saved["level"], saved["began"]


def watch(path: Path, stop: Path) -> None:
    """Print a line whenever the live state changes: the time, and the running trials with epoch and fraction."""
    last = b""
    while not stop.exists():
        if path.exists() and (content := path.read_bytes()) != last:
            last = content
            running = [[t["trial"], t["epoch"], t["fraction"]] for t in json.loads(content)["running"]]
            print(json.dumps([time.time(), running]), flush=True)
        time.sleep(0.005)


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of `values` are."""
    return round(sorted(values)[min(len(values) - 1, int(share * len(values)))], 1)


def run(folder: Path) -> dict[str, Any]:
    """One sweep with a reader."""
    (folder / "space.yaml").write_text(SPACE)
    study = folder / "r" / "studies" / "sleeping"
    with (folder / "seen").open("w") as seen:
        reader = subprocess.Popen(
            [sys.executable, __file__, "--watch", str(study / "live.json"), str(folder / "stop")], stdout=seen
        )
        command = [sys.executable, "-m", "tune_app", "run", str(folder / "space.yaml"), "--store", str(folder / "r")]
        subprocess.run([*command, "--no-preflight", "--json"], cwd=ROOT / "benchmarks", check=True, capture_output=True)
        time.sleep(0.3)
        (folder / "stop").touch()
        reader.wait()
    import pandas as pd

    readings = [json.loads(line) for line in (folder / "seen").read_text().splitlines()]
    epochs = pd.read_parquet(folder / "r" / "epochs" / "study=sleeping")
    events = [json.loads(line) for line in (study / "events.jsonl").read_text().splitlines()]
    ended = {
        e["row"]["trial"]: datetime.fromisoformat(e["at"]).timestamp() for e in events if e["type"] == "trial_ended"
    }
    began = epochs.groupby("trial")["metric/began"].first()
    starts, ends, never = [], [], 0
    for trial, moment in began.items():
        having = [at for at, running in readings if any(t == trial for t, _, _ in running)]
        if not having:
            never += 1
            continue
        starts.append(1000 * (having[0] - moment))
        gone = [at for at, running in readings if at > having[-1] and all(t != trial for t, _, _ in running)]
        ends.append(1000 * (gone[0] - ended[trial]))
    changes: dict[int, float] = {}
    ages = []
    former: dict[int, Any] = {}
    for at, running in readings:
        for trial, epoch, fraction in running:
            if fraction is not None and former.get(trial) != (epoch, fraction):
                if trial in changes:
                    ages.append(1000 * (at - changes[trial]))
                former[trial], changes[trial] = (epoch, fraction), at
    return {
        "trials": len(began),
        "start_to_visible_ms": {"median": percentile(starts, 0.5), "p99": percentile(starts, 0.99)},
        "end_to_visible_ms": {"median": percentile(ends, 0.5), "p99": percentile(ends, 0.99)},
        "between_fractions_ms": {"median": percentile(ages, 0.5), "p99": percentile(ages, 0.99)},
        "lost": never + sum(epochs.groupby("trial")["epoch"].max() != EPOCHS),
        "cost": round(float((epochs["metric/telling_s"] / epochs["duration_s"]).mean()), 5),
    }


def main() -> None:
    """Measure, print one JSON line per run and a summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--watch", nargs=2)
    given = parser.parse_args()
    if given.watch:
        watch(Path(given.watch[0]), Path(given.watch[1]))
        return
    machine = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    worst = []
    for _ in range(given.runs):
        with tempfile.TemporaryDirectory() as folder:
            found = run(Path(folder))
        worst.append(found["start_to_visible_ms"]["p99"])
        print(json.dumps({"measure": "live", **found, "load": os.getloadavg()[0], **machine}), flush=True)
    summary = {"median": statistics.median(worst), "min": min(worst), "max": max(worst)}
    print(json.dumps({"measure": "p99 of start to visible, ms", **summary, "bar": BAR_MS, **machine}), flush=True)


if __name__ == "__main__":
    main()
