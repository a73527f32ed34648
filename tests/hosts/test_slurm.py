"""clusters/slurm.sh on two hosts: its own commands, real Ray nodes, and a sweep that hits the time limit."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import netns
import pandas as pd
import pytest
from slurm import Slurm
from sweeping import HERE, PYTHONPATH, ROOT, short_folder, space

SCRIPT = ROOT / "clusters" / "slurm.sh"


@pytest.fixture
def slurm() -> Iterator[Slurm]:
    """Two hosts with nothing on them."""
    if reason := netns.why_not():
        pytest.skip(reason)
    with (
        tempfile.TemporaryDirectory(prefix="ts", dir="/tmp") as folder,
        netns.Hosts(short_folder(), PYTHONPATH) as hosts,
    ):
        for _ in range(2):
            hosts.add()
        with Slurm(hosts, Path(folder)) as made:
            yield made


def test_a_sweep_ends_cleanly_at_the_time_limit_and_a_second_job_resumes_it(slurm: Slurm, tmp_path: Path) -> None:
    shutil.copy(HERE / "steady.py", tmp_path)
    (tmp_path / "space.yaml").write_text(space("long", trials=8, epochs=12, pace=0.5, gpus=0.0))
    began = time.monotonic()
    job = slurm.sbatch(SCRIPT, "space.yaml", "--no-preflight", "--cpus", "1", submitted_in=tmp_path)
    live = tmp_path / "results" / "studies" / "long" / "live.json"
    while not (live.exists() and json.loads(live.read_text())["trials"]["RUNNING"] == 4):  # two on each node
        assert job.poll() is None, job.communicate()[0]
        assert time.monotonic() - began < 120
        time.sleep(0.2)
    print(f"four trials run after {time.monotonic() - began:.0f} s")
    (script,) = netns.children(job.pid)
    os.kill(script, signal.SIGTERM)  # as `--signal=B:TERM` signals only the script
    said = job.communicate(timeout=60)[0]
    assert job.returncode == 143, said
    assert "error: stopped by a request to terminate; results are kept" in said
    assert not [host.name for host in slurm.hosts.all if "raylet" in processes(host)], "Ray must end with its job"

    job = slurm.sbatch(SCRIPT, "resume", "long", submitted_in=tmp_path)
    said = job.communicate(timeout=150)[0]
    assert job.returncode == 0, said
    table = pd.read_parquet(tmp_path / "results" / "trials" / "study=long")
    assert (sorted(table["trial"]), set(table["state"])) == (list(range(8)), {"COMPLETED"})
    assert set(table["node"]) == {host.address for host in slurm.hosts.all}
    assert sorted(node for node, _ in slurm.steps) == ["host1", "host1", "host2", "host2"]
    assert not [host.name for host in slurm.hosts.all if "raylet" in processes(host)]


def processes(host: netns.Host) -> str:
    """The processes that run on a host."""
    shown = subprocess.run(host.command("ps", "ax", "-o", "stat,args"), capture_output=True, text=True, check=True)
    return "".join(line for line in shown.stdout.splitlines(keepends=True) if not line.startswith("Z"))
