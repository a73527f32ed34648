"""A sweep on spot nodes, half of which are lost and return while it runs: is the result exact, what is trained twice?

Machine: this one; a head without CPUs and eight nodes of one CPU each, as network namespaces with their own
addresses (`tests/hosts`), so it needs root and `ip`. Workload: 200 trials of a function that sleeps, six epochs of 0.4
to 2 s, pruned as by default, with tune-app's own checkpoints, one a second at most, in a folder that all nodes share.
Every few seconds one of four nodes is lost, and returns with the same address some seconds later, until each has been
lost twice. With `--way kill` all its processes are killed at once. With `--way cut` its link is cut until Ray gives it
up, while its processes live on and write to the store; then the link is restored and, once they have ended, Ray is
started again. The head has the settings of docs/cluster.md that detect a silent node quickly. No peer: Ray Tune as
documented keeps checkpoints, but does not report which epochs were trained twice.

    python benchmarks/spot.py [--way kill cut] [--trials 200] [--seed 0]

Prints one JSON line for each loss and, for each way, a summary: what is wrong (the exit code, trials and epochs that
are missing or duplicated, attempts that did not continue from the last checkpoint), how many losses hit a trial and how
many epochs were trained twice, how long it took, and how many nodes trained in each `SLICE_S` seconds. Ends with 1 if
anything is wrong.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "hosts"))

import netns  # noqa: E402
from diary import LOADS, Life, diary_space, lives  # noqa: E402
from sweeping import PYTHONPATH, WATCHFUL, Sweep, kill, short_folder  # noqa: E402

NODES, SPOT = 8, 4
EPOCHS, PACE_S = 6, (0.4, 2.0)
ROUNDS = 2
"""How often each spot node is lost."""
PERIOD_S = 6.0
"""Between two losses, about."""
AWAY_S = {"kill": 5.0, "cut": 15.0}
SLICE_S = 10.0
ENDS_S = 900.0
RAYLET_ENDS_S = 60.0
"""A raylet that Ray gave up and that has not ended this long after its link's return stays for good."""


def main() -> None:
    """One sweep for each kind of loss."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--way", nargs="+", choices=AWAY_S, default=list(AWAY_S))
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if reason := netns.why_not():
        parser.error(reason)
    wrong = False
    for way in given.way:
        facts = one_sweep(way, given.trials, random.Random(given.seed))
        print(json.dumps({"way": way, **facts}), flush=True)
        wrong = wrong or bool(facts["wrong"])
    sys.exit(1 if wrong else 0)


@contextmanager
def spot_cluster() -> Iterator[netns.Hosts]:
    """A head without slots, then the nodes."""
    with netns.Hosts(short_folder(), {**PYTHONPATH, **WATCHFUL}) as hosts:
        hosts.start_ray(hosts.add(), cpus=0, gpus=0)
        for _ in range(NODES):
            start_node(hosts, hosts.add())
        yield hosts


def start_node(hosts: netns.Hosts, host: netns.Host) -> None:
    """Let a node join, with one slot."""
    hosts.start_ray(host, cpus=1, gpus=0)


def one_sweep(way: str, trials: int, chance: random.Random) -> dict[str, Any]:
    """Sweep while nodes are lost and return; returns the outcome."""
    with tempfile.TemporaryDirectory(prefix="spot-") as folder, spot_cluster() as hosts:
        sweep, diaries = Sweep(hosts, Path(folder, "results"), "spot"), Path(folder, "diaries")
        for made in (sweep.store, diaries):
            made.mkdir()
        file = Path(folder, "spot.yaml")
        budget = {"trials": trials, "epochs": EPOCHS}
        file.write_text(diary_space("spot", diaries, **budget, pace=PACE_S, gpus=0.0, pruning="normal"))
        began = time.time()
        driver = sweep.command(hosts.all[0], "run", str(file), "--no-preflight")
        try:
            sweep.until(lambda: len(sweep.events("trial_started")) >= NODES)
            losses = Coming(hosts, way, chance, diaries).run(driver)
            _, errors = driver.communicate(timeout=ENDS_S)
        finally:
            kill(driver)
        wall_s = time.time() - began
        return {**figures(sweep, diaries, trials, losses, driver.returncode, errors, began), "wall_s": round(wall_s, 1)}


class Coming:
    """Spot nodes that are lost and return.

    Attributes:
        losses: one for each time that a node was lost.
    """

    def __init__(self, hosts: netns.Hosts, way: str, chance: random.Random, diaries: Path) -> None:
        self._hosts, self._way, self._chance, self._diaries = hosts, way, chance, diaries
        self.losses: list[dict[str, Any]] = []

    def run(self, driver: subprocess.Popen[str]) -> list[dict[str, Any]]:
        """Lose each node `ROUNDS` times while the sweep runs; returns when the last one is back."""
        returns: dict[str, threading.Thread] = {}
        for _ in range(ROUNDS):
            for host in self._chance.sample(self._hosts.all[1 : SPOT + 1], SPOT):
                if host.name in returns:
                    returns[host.name].join()
                if driver.poll() is not None:
                    break
                returns[host.name] = self._lose(host)
                time.sleep(self._chance.uniform(0.5, 1.5) * PERIOD_S)
        for thread in returns.values():
            thread.join()
        return self.losses

    def _lose(self, host: netns.Host) -> threading.Thread:
        loss: dict[str, Any] = {"way": self._way, "host": host.name, "went_at": time.time()}
        self.losses.append(loss)
        if self._way == "kill":
            host.kill()
        else:
            host.cut()
        thread = threading.Thread(target=self._bring_back, args=(host, loss))
        thread.start()
        return thread

    def _bring_back(self, host: netns.Host, loss: dict[str, Any]) -> None:
        time.sleep(AWAY_S[self._way])
        if self._way == "cut":
            host.mend()
            restored = time.monotonic()
            while (stays := runs_ray(host)) and time.monotonic() - restored < RAYLET_ENDS_S:
                time.sleep(0.5)
            loss["raylet_ended_s"] = None if stays else round(time.monotonic() - restored, 1)
            host.kill()
        start_node(self._hosts, host)
        loss["came_at"] = time.time()


def runs_ray(host: netns.Host) -> bool:
    """Whether a host's raylet is running."""
    return subprocess.run(host.command("pgrep", "--exact", "raylet"), capture_output=True).returncode == 0


def figures(
    sweep: Sweep,
    diaries: Path,
    trials: int,
    losses: list[dict[str, Any]],
    code: int,
    errors: str,
    began: float,
) -> dict[str, Any]:
    """The figures of a sweep that has ended, and what is wrong with it."""
    told = lives(diaries)
    times = sorted((note["at"], note["host"]) for note in trained(diaries))
    for loss in losses:
        came = loss.get("came_at")
        uses = [at - came for at, host in times if host == loss["host"] and came is not None and at > came]
        loss["used_again_s"] = round(uses[0], 1) if uses else None
        moments = {key: round(loss[key] - began, 1) for key in ("went_at", "came_at") if key in loss}
        print(json.dumps({**loss, **moments}), flush=True)
    repeated = [count for life in told.values() for count in life.repeated]
    slices = Counter[int]()
    for number, _ in {(int((at - began) // SLICE_S), host) for at, host in times}:
        slices[number] += 1
    wrong = [f"exit code {code}: {errors[-500:]}"] if code else faults(sweep, told, trials)
    wrong += [f"{loss['host']} did not come back" for loss in losses if "came_at" not in loss]
    loads = diaries / LOADS
    return {
        "wrong": wrong,
        "states": dict(Counter(event["row"]["state"] for event in sweep.events("trial_ended"))),
        "losses": len(losses),
        "attempts_lost": len(repeated),
        "epochs_trained": sum(len(attempt.trained) for life in told.values() for attempt in life.attempts),
        "epochs_repeated": sum(repeated),
        "repeated_at_most": max(repeated, default=0),
        "shared_data_loaded_on": loads.read_text().split() if loads.exists() else [],
        "nodes_used": [slices[number] for number in range(max(slices, default=-1) + 1)],
    }


def trained(diaries: Path) -> list[dict[str, Any]]:
    """The trained epochs in all diaries."""
    notes = [json.loads(line) for path in diaries.glob("*.jsonl") for line in path.read_text().splitlines()]
    return [note for note in notes if note["what"] == "trained"]


def faults(sweep: Sweep, told: dict[int, Life], trials: int) -> list[str]:
    """What is wrong with the study and the diaries of a sweep that ended with success."""
    table = pd.read_parquet(sweep.store / "trials" / f"study={sweep.name}")
    epochs = pd.read_parquet(sweep.store / "epochs" / f"study={sweep.name}")
    ended = sorted(event["row"]["trial"] for event in sweep.events("trial_ended"))
    found = []
    if sorted(table["trial"]) != list(range(trials)) or ended != list(range(trials)):
        found.append("a trial has no row, or two")
    failed = table[table["state"] == "FAILED"]
    found += [f"trial {trial} failed: {error}" for trial, error in zip(failed["trial"], failed["error"], strict=True)]
    numbers = epochs.groupby("trial")["epoch"].apply(sorted)
    for row in table.itertuples():
        life = told.get(row.seed, Life([]))
        found += [f"trial {row.trial}: {fault}" for fault in life.faults()]
        if numbers.get(row.trial) != list(range(1, row.epochs + 1)):
            found.append(f"trial {row.trial} has the epochs {numbers.get(row.trial)}, not 1 to {row.epochs}")
        elif not set(numbers[row.trial]) <= life.epochs:
            found.append(f"trial {row.trial} has epochs that nobody trained")
    kept = len(list((sweep.store / "studies" / sweep.name / "checkpoints").iterdir()))
    if kept != table["checkpoint"].notna().sum():
        found.append(f"{kept} checkpoints are kept, but {table['checkpoint'].notna().sum()} rows name one")
    return found


if __name__ == "__main__":
    main()
