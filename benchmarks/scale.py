"""How far one driver goes: the searcher and the scheduler at a thousand workers and a million trials, and a real sweep.

Machine: printed with each line. Workload of `replay`: trials of up to 27 epochs in virtual time on 1,000 workers,
with made-up curves of four variables, the sampler and the scheduler of a sweep (level `normal`) and no store, no Ray
and no training. Workload of `sweep`: a task that does nothing, see `overhead.py`, in a full sweep. Workload of
`slots`: trials of one second on 16 slots, in a full sweep; the theoretical minimum is a second for each 16 trials, once
the slots are filled. Peer: Ray's own test of as many such trials on 16 cores, published with 715 s.

`sweep` prints what the driver used at some numbers of trials. `replay` prints a line for each power of ten, with the
CPU milliseconds of a trial since the line before, the slowest suggestion, and the memory of the process; the last one
of a sampler comes after `--limit` seconds.

    python benchmarks/scale.py replay [--samplers random auto] [--trials 1000000] [--workers 1000] [--limit 900]
    python benchmarks/scale.py sweep [--trials 100000]
    python benchmarks/scale.py slots [--trials 10000]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import overhead
import pandas as pd
import psutil

from tune_app.search.samplers import make_sampler
from tune_app.search.schedule import make_scheduler
from tune_app.search.study_search import StudySearch
from tune_app.spaces.pruning import rungs
from tune_app.spaces.section import Objective, Pruning
from tune_app.spaces.space import Space
from tune_app.spaces.variable import Categorical, Config, Float, Int, Variable
from tune_app.sweep.replay import Curve, replay

EPOCHS = 27
MARKS = (1_000, 10_000, 30_000, 60_000, 98_000)
"""Numbers of trials after which the driver of a sweep is measured."""
VARIABLES = (
    Variable("learning_rate", "training", Float(1e-5, 1.0, log=True), 1e-2, "The best one is 1e-3."),
    Variable("momentum", "training", Float(0.0, 1.0), 0.9, "The best one is 0.9."),
    Variable("width", "architecture", Int(1, 512, log=True), 32, "The wider the better, and the slower."),
    Variable("norm", "architecture", Categorical(("batch", "layer", "none")), "none", "Matters little."),
)


SLOTS = 16
SLEEPING = f"""
schema_version: 1
name: nothing
task: scale:Sleeping
dataset: none
objective: {{metric: score}}
budget: {{trials: 1, epochs: 1}}
search: {{sampler: random}}
pruning: {{level: "off"}}
resources: {{concurrent: {SLOTS}, cpus: {(os.cpu_count() or 1) / SLOTS}}}
parameters:
  training:
    learning_rate: {{type: float, low: 1.0e-5, high: 1.0, log: true}}
    momentum: {{type: float, low: 0.0, high: 1.0}}
    width: {{type: int, low: 1, high: 512}}
"""


class Sleeping(overhead.Nothing):
    """A task whose epoch takes a second and no CPU time."""

    def train_epoch(self, state: Any, epoch: int, progress: Any) -> Mapping[str, float]:
        """A random number, a second later."""
        time.sleep(1.0)
        return super().train_epoch(state, epoch, progress)


class Made:
    """Curves that fall from 1 toward the best value of a configuration, with noise."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(0)

    def curve(self, config: Config) -> Curve:
        """The curve of a configuration."""
        far = abs(np.log10(config["learning_rate"]) + 3) / 4 + abs(config["momentum"] - 0.9)
        end = 0.1 + 0.3 * far + 0.1 / np.log2(2 + config["width"]) + 0.01 * (config["norm"] == "none")
        at = np.arange(1, EPOCHS + 1)
        values = end + (1 - end) * np.exp(-at / 6) + self._random.normal(0, 0.01, EPOCHS)
        return Curve(values, at * (1.0 + config["width"] / 256), float(end))


class Marks:
    """Prints a line when the number of suggestions reaches a power of ten, and at the end.

    Side effects: takes the place of the search's `suggest`.
    """

    def __init__(self, search: StudySearch, sampler: str, workers: int, limit_s: float) -> None:
        self._suggest, self._facts = search.suggest, {"measure": "replay", "sampler": sampler, "workers": workers}
        self._ends = time.monotonic() + limit_s
        self._cpu, self._since, self._worst, self._count = time.process_time(), 0, 0.0, 0
        search.suggest = self.suggest  # type: ignore[method-assign]

    def suggest(self, trial_id: str) -> Config:
        """The search's suggestion; prints a line first when it is due."""
        if self._count >= 1000 and str(self._count).strip("0") == "1":
            self.tell()
        if time.monotonic() > self._ends:
            raise TimeoutError
        began = time.perf_counter()
        config = self._suggest(trial_id)
        self._worst = max(self._worst, time.perf_counter() - began)
        self._count += 1
        return config

    def tell(self, **facts: Any) -> None:
        """Print what was measured since the last line."""
        now = time.process_time()
        line = {
            **self._facts,
            "trials": self._count,
            "cpu_ms_per_trial": round(1000 * (now - self._cpu) / max(1, self._count - self._since), 2),
            "slowest_suggestion_ms": round(1000 * self._worst),
            "memory_mib": _memory_mib(),
            **facts,
            "machine": platform.machine(),
            "cores": os.cpu_count(),
        }
        print(json.dumps(line), flush=True)
        self._cpu, self._since, self._worst = now, self._count, 0.0


def _memory_mib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * resource.getpagesize() / 2**20)


def measure_replay(sampler: str, trials: int, workers: int, limit_s: float) -> None:
    """One replay in this process."""
    space = Space(VARIABLES, {v.name: v.domain for v in VARIABLES}, {}, {}, ())
    section, objective = Pruning(level="normal"), Objective(metric="loss", direction="minimize")
    search = StudySearch(space, objective, make_sampler(sampler, space, 0, trials, EPOCHS))
    marks = Marks(search, sampler, workers, limit_s)
    scheduler, decided = make_scheduler(section, "minimize", EPOCHS), rungs(section, EPOCHS)[0]
    ended = True
    try:
        replay(search, scheduler, objective, Made(), decided, workers=workers, budget=EPOCHS * trials, trials=trials)
    except TimeoutError:
        ended = False
    marks.tell(ended=ended)


def measure_sweep(trials: int) -> None:
    """One sweep; a line for the driver at each of `MARKS` trials, and one at the end."""
    done = threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        watcher = threading.Thread(target=_watch_driver, args=(Path(folder, "r/studies/nothing/live.json"), done))
        watcher.start()
        try:
            found = overhead.run(trials, Path(folder), [])
        finally:
            done.set()
            watcher.join()
    print(json.dumps({"measure": "sweep", **found, "machine": platform.machine(), "cores": os.cpu_count()}), flush=True)


def _watch_driver(live: Path, done: threading.Event) -> None:
    marks, ended, cpu_s = list(MARKS), 0, 0.0
    while not done.wait(0.2) and marks:
        states = json.loads(live.read_text())["trials"] if live.exists() else {}
        count = sum(number for state, number in states.items() if state != "RUNNING")
        if count < marks[0]:
            continue
        driver = psutil.Process().children()[0]
        used = sum(driver.cpu_times()[:2])
        per_trial = round(1000 * (used - cpu_s) / (count - ended), 2) if ended else None  # the first includes the start
        line = {"measure": "driver", "trials": count, "cpu_ms_per_trial": per_trial}
        print(json.dumps({**line, "memory_mib": round(driver.memory_info().rss / 2**20)}), flush=True)
        marks, ended, cpu_s = marks[1:], count, used


def measure_slots(trials: int) -> None:
    """One sweep of trials of a second; `slots_filled_s` is the time until every slot had trained."""
    with tempfile.TemporaryDirectory() as folder:
        found = overhead.run(trials, Path(folder), [], SLEEPING)
        files = sum(len(names) for _, _, names in os.walk(folder))
        table = pd.read_parquet(Path(folder, "r", "trials", "study=nothing"))
    filled = (table["ended_at"].sort_values().iloc[SLOTS - 1] - table["started_at"].min()).total_seconds() - 1.0
    facts = {"span_s": round(found["ms_per_trial"] * trials / 1000, 1), "least_s": trials / SLOTS}
    line = {"measure": "slots", **found, **facts, "slots_filled_s": round(filled, 1), "files": files}
    print(json.dumps({**line, "machine": platform.machine(), "cores": os.cpu_count()}), flush=True)


def main() -> None:
    """Each measurement in a separate process, because a process keeps memory that it once took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["replay", "sweep", "slots", "one"])
    parser.add_argument("--samplers", nargs="+", default=["random", "auto"])
    parser.add_argument("--trials", nargs="+", type=int)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--limit", type=float, default=900, help="maximum seconds of a sampler's replay")
    given = parser.parse_args()
    if given.what == "one":
        measure_replay(given.samplers[0], given.trials[0], given.workers, given.limit)
    elif given.what == "replay":
        for sampler in given.samplers:
            numbers = ["--trials", given.trials[0] if given.trials else 10**6, "--workers", given.workers]
            words = [__file__, "one", "--samplers", sampler, *numbers, "--limit", given.limit]
            subprocess.run([sys.executable, *map(str, words)], check=True)
    elif given.what == "slots":
        for trials in given.trials or [10_000]:
            measure_slots(trials)
    else:
        for trials in given.trials or [100_000]:
            measure_sweep(trials)


if __name__ == "__main__":
    main()
