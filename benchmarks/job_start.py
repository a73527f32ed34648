"""How long it takes from Start on the page to the first running trial.

Machine: printed with each line. Workload: `search_spaces/digits_cnn.yaml` with three trials, submitted as a job the way
the page and the API do it; the store is new, so the first job of each run starts the Ray head of this machine (`cold`)
and the second one finds it running (`warm`). Measured from the request to the first reading of ``live.json``,
every 50 ms, that has a running trial.
Peer: none. Theoretical minimum: the start of Python, of a driver and of a worker that imports torch.

    python benchmarks/job_start.py [--runs 3]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

from tune_app.document import Document
from tune_app.jobs.job_head import end_head
from tune_app.jobs.job_request import sweep_request
from tune_app.jobs.jobs import Jobs
from tune_app.profiles.profiles import Profiles
from tune_app.store.store import Store
from tune_app.tasks.catalog_process import read_catalog

ROOT = Path(__file__).resolve().parents[1]
SPACE = ROOT / "search_spaces" / "digits_cnn.yaml"
BAR_S = 15.0
LIMIT_S = 120.0


def start(store: Store) -> float:
    """Seconds from the request to the first running trial; returns when the job has ended."""
    jobs = Jobs(store)
    began = time.perf_counter()
    profiles = Profiles(Path(store.folder.url) / "profiles")
    request = sweep_request(Document.read(SPACE), {"budget": {"trials": 3}}, store, profiles, catalog_of=read_catalog)
    job = jobs.submit(request)
    took: float | None = None
    while took is None:
        assert time.perf_counter() - began < LIMIT_S, jobs.get(job.id)
        if job.study in store.studies() and store.study(str(job.study)).json("live.json").get("running"):
            took = time.perf_counter() - began
        time.sleep(0.05)
    while not jobs.get(job.id).ended:
        time.sleep(0.2)
    return took


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    times: dict[str, list[float]] = {"cold": [], "warm": []}
    for _ in range(parser.parse_args().runs):
        with tempfile.TemporaryDirectory() as folder:
            store = Store(folder)
            try:
                for kind in times.values():
                    kind.append(start(store))
            finally:
                end_head(store.folder)
    for name, kind in times.items():
        found = {"median_s": statistics.median(kind), "min_s": min(kind), "max_s": max(kind)}
        machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "load": round(os.getloadavg()[0], 1)}
        told = {"measure": f"start to the first running trial, {name}", "bar_s": BAR_S, "runs": len(kind)}
        print(json.dumps({**told, **{k: round(v, 2) for k, v in found.items()}, **machine}), flush=True)


if __name__ == "__main__":
    main()
