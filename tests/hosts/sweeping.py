"""Clusters of hosts, sweeps over them, and queries on their stores."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import netns
import pandas as pd
import pytest
import yaml

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DEADLINE_S = 120.0
PYTHONPATH = {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
WATCHFUL = {
    f"RAY_health_check_{name}": value
    for name, value in {"period_ms": "1000", "timeout_ms": "2000", "failure_threshold": "3"}.items()
}
"""With these, a head declares a silent node dead quickly; see docs/cluster.md."""
SPACE: dict[str, Any] = {
    "schema_version": 1,
    "task": "steady:Steady",
    "dataset": "none",
    "objective": {"metric": "score"},
    "search": {"sampler": "random"},
    "pruning": {"level": "off"},
}


def space(name: str, *, trials: int, epochs: int, pace: float, gpus: float) -> str:
    """A search space file: a trial takes `epochs` times `pace` seconds and `gpus` of a GPU."""
    level = {"type": "float", "low": 0.0, "high": 0.9}
    return yaml.safe_dump(
        {
            **SPACE,
            "name": name,
            "budget": {"trials": trials, "epochs": epochs},
            "resources": {"cpus": 1, "gpus": gpus},
            "parameters": {"training": {"level": level, "pace": pace}},
        }
    )


def short_folder() -> Path:
    """A folder for the hosts' files, see `netns.Hosts`."""
    return Path(tempfile.mkdtemp(prefix="tn", dir="/tmp"))


@contextmanager
def cluster(count: int, **environment: str) -> Iterator[netns.Hosts]:
    """Hosts, each a Ray node with four CPUs and one logical GPU; the cluster requires a token."""
    if reason := netns.why_not():
        pytest.skip(reason)
    with netns.Hosts(short_folder(), {**PYTHONPATH, **environment}) as made:
        for _ in range(count):
            made.start_ray(made.add())
        yield made


@dataclass
class Sweep:
    """A study whose sweep is started from a host, and queries on its store."""

    hosts: netns.Hosts
    store: Path
    name: str
    drivers: list[subprocess.Popen[str]] = field(default_factory=list)

    def command(self, host: netns.Host, *arguments: str) -> subprocess.Popen[str]:
        """Start ``tune-app`` on `host`, connected to the cluster."""
        given = [*arguments, "--address", self.hosts.address, "--store", str(self.store)]
        process = subprocess.Popen(
            host.command("env", f"--chdir={HERE}", sys.executable, "-m", "tune_app", *given),
            env=self.hosts.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.drivers.append(process)
        return process

    def run(
        self, host: netns.Host, *, trials: int, epochs: int, pace: float = 1.0, gpus: float = 0.5
    ) -> subprocess.Popen[str]:
        """Start the sweep from `host`, with as many trials at once as fit; each takes `epochs` times `pace` seconds."""
        file = self.store / f"{self.name}.yaml"
        file.write_text(space(self.name, trials=trials, epochs=epochs, pace=pace, gpus=gpus))
        return self.command(host, "run", str(file), "--no-preflight")

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The events of one kind so far."""
        path = self.store / "studies" / self.name / "events.jsonl"
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        return [event for event in map(json.loads, lines) if event["type"] == kind]

    def until(self, reached: Callable[[], Any], seconds: float = DEADLINE_S) -> float:
        """Wait until `reached()` is true while the sweep runs; returns how many seconds it took."""
        began = time.monotonic()
        while not reached():
            driver = self.drivers[-1]
            assert driver.poll() is None, driver.communicate()
            assert time.monotonic() - began < seconds, f"it did not happen within {seconds:g} s"
            time.sleep(0.1)
        return time.monotonic() - began

    def nodes(self) -> dict[int, str]:
        """The host on which each finished trial ended."""
        return {event["row"]["trial"]: event["row"]["node"] for event in self.events("trial_ended")}

    def restarts(self) -> list[dict[str, Any]]:
        """The start events of trials that had already started before."""
        return [event for event in self.events("trial_started") if event["attempt"] > 1]

    def finish(self, trials: int) -> pd.DataFrame:
        """Wait for the end and check that exactly the requested trials ran; returns their rows."""
        driver = self.drivers[-1]
        _, errors = driver.communicate(timeout=DEADLINE_S)
        assert driver.returncode == 0, errors
        table = pd.read_parquet(self.store / "trials" / f"study={self.name}")
        epochs = pd.read_parquet(self.store / "epochs" / f"study={self.name}")
        assert sorted(table["trial"]) == list(range(trials))
        assert set(table["state"]) == {"COMPLETED"}
        assert sorted(event["row"]["trial"] for event in self.events("trial_ended")) == list(range(trials))
        assert not epochs.duplicated(["trial", "epoch"]).any()
        assert len(epochs) == table["epochs"].sum()
        live = json.loads((self.store / "studies" / self.name / "live.json").read_text())
        assert (live["state"], live["running"], live["trials"]) == ("ended", [], {"COMPLETED": trials, "RUNNING": 0})
        return table.set_index("trial", drop=False).sort_index()

    def most_at_once(self) -> int:
        """The largest number of trials that ran at the same time, according to the event log."""
        changes = [(event["at"], 1) for event in self.events("trial_started")]
        changes += [(event["row"]["ended_at"], -1) for event in self.events("trial_ended")]
        running = most = 0
        for _, change in sorted((datetime.fromisoformat(at), change) for at, change in changes):
            running += change
            most = max(most, running)
        return most


def kill(driver: subprocess.Popen[str]) -> None:
    """Kill a driver: the process on the host, and the one here that started it."""
    if driver.poll() is None:
        for pid in netns.children(driver.pid):
            os.kill(pid, signal.SIGKILL)
        driver.communicate(timeout=20)
