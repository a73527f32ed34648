"""How fast the server reports a job's state while a sweep needs all cores.

Machine and load average: printed with each line. Workload: `tune-app serve` on loopback with a sweep of
search_spaces/digits_cnn.yaml, requested over HTTP, on a Ray head of this machine. Two clients, each a process with one
connection, together request `GET /jobs/{id}` at a fixed rate, on a schedule: the clock of a request starts when it is
due, so a slow answer also counts for those that wait behind it. The same is measured afterward, without the sweep.
Peer: none. Theoretical minimum: one round trip on loopback and two looks at the file system, about 0.1 ms; during a
sweep, the time until the kernel lets one more process run.

    python benchmarks/api.py [--seconds 30] [--rate 200] [--runs 1] [--at http://127.0.0.1:8000/jobs/digits-cnn-1]
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]
CLIENTS = 2


def ask(port: int, path: str, seconds: float, rate: float) -> tuple[list[float], int]:
    """Request `path` `rate` times a second on one connection: milliseconds of each answer, and how many failed."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    times, failed = [], 0
    began = time.perf_counter()
    for number in range(round(seconds * rate)):
        due = began + number / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            whole = json.loads(answer.read())
            failed += answer.status != 200 or "state" not in whole
        except (OSError, http.client.HTTPException, ValueError):
            connection.close()
            failed += 1
        times.append(1000 * (time.perf_counter() - due))
    return times, failed


def measure(port: int, path: str, seconds: float, rate: float) -> dict[str, Any]:
    """Two clients at `rate` requests a second together: percentiles in milliseconds, and how many requests failed."""
    with ProcessPoolExecutor(CLIENTS, mp_context=get_context("spawn")) as clients:
        list(clients.map(abs, range(CLIENTS)))  # they are up before the clock starts
        began = time.perf_counter()
        parts = [clients.submit(ask, port, path, seconds, rate / CLIENTS) for _ in range(CLIENTS)]
        found = [part.result() for part in parts]
        wall = time.perf_counter() - began
    times = sorted(ms for part, _ in found for ms in part)
    cuts = statistics.quantiles(times, n=1000, method="inclusive")
    return {
        "requests": len(times),
        "per_s": round(len(times) / wall, 1),
        "failed": sum(failed for _, failed in found),
        "p50_ms": round(cuts[499], 2),
        "p99_ms": round(cuts[989], 2),
        "p999_ms": round(cuts[998], 2),
        "max_ms": round(times[-1], 2),
    }


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """A server with an empty store; yields its port, and ends it and its Ray head afterward."""
    command = [sys.executable, "-m", "tune_app", "serve", "--port", "0"]
    places = ["--store", str(folder / "results"), "--profiles", str(folder / "profiles")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "TUNE_APP_API"))}
    process = subprocess.Popen([*command, *places], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("listening on http://"), line
        yield int(line.split(",")[0].rpartition(":")[2])
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
        shutdown = [sys.executable, "-m", "tune_app", "jobs", "shutdown", *places[:2]]
        subprocess.run(shutdown, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def call(port: int, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One request; its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    text = None if body is None else json.dumps(body)
    connection.request(method, path, text, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    found: dict[str, Any] = json.loads(answer.read())
    assert answer.status < 300, found
    return found


def run(seconds: float, rate: float) -> Iterator[dict[str, Any]]:
    """One server, idle and during a sweep."""
    with tempfile.TemporaryDirectory(prefix="api-") as folder, served(Path(folder)) as port:
        overrides = {"trials": 100_000, "epochs": 15}
        asked = {"kind": "sweep", "search_space": "digits_cnn", "preflight": False, "overrides": overrides}
        job = call(port, "POST", "/jobs", asked)["id"]
        path = f"/jobs/{job}"
        try:
            deadline = time.monotonic() + 120
            while (call(port, "GET", path)["progress"] or {"ended": 0})["ended"] < 5:
                assert time.monotonic() < deadline, call(port, "GET", path)
                time.sleep(0.2)
            before = call(port, "GET", path)["progress"]["ended"]
            load = os.getloadavg()[0]
            found = measure(port, path, seconds, rate)
            after = call(port, "GET", path)
            assert after["state"] == "RUNNING", after
            trials = after["progress"]["ended"] - before
            loads = {"load_before": round(load, 2), "load_after": round(os.getloadavg()[0], 2)}
            yield {"measure": "GET /jobs/{id} during a sweep", **found, "trials_meanwhile": trials, **loads}
        finally:
            call(port, "POST", f"{path}/cancel")
            while call(port, "GET", path)["state"] in ("QUEUED", "RUNNING"):
                time.sleep(0.2)
        yield {"measure": "GET /jobs/{id}, no sweep", **measure(port, path, seconds, rate)}


def there(url: str, seconds: float, rate: float) -> Iterator[dict[str, Any]]:
    """A job of a server that is already running."""
    at = urlsplit(url)
    yield {"measure": "GET /jobs/{id}", **measure(at.port or 80, at.path, seconds, rate)}


def main() -> None:
    """Measure and print one JSON line per measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--at", metavar="URL", help="a job of a server that is already running, instead of our own")
    given = parser.parse_args()
    machine = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    for _ in range(given.runs):
        for found in there(given.at, given.seconds, given.rate) if given.at else run(given.seconds, given.rate):
            print(json.dumps({**found, **machine}), flush=True)


if __name__ == "__main__":
    main()
