"""The three ways in, to a cluster that Ray's launcher made of hosts with clusters/on_prem.yaml as it is shipped.

The launcher runs on a fourth host, which has nothing but the key and the cluster's token.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import netns
import pandas as pd
import pytest
import ssh
import yaml

ROOT = Path(__file__).parents[2]
FILE = "clusters/on_prem.yaml"
SPACE = "search_spaces/digits_cnn.yaml"
SMALL = ("--trials", "6", "--epochs", "2", "--cpus", "1", "--gpus", "0", "--concurrent", "3")
JOB_SERVER = "http://127.0.0.1:8265"


@dataclass
class Laptop:
    """Where a person sits."""

    host: netns.Host
    environment: dict[str, str]

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        """Start a Python module's command in the project's folder."""
        return subprocess.Popen(
            self.host.command("env", f"--chdir={ROOT}", sys.executable, "-m", *command),
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __call__(self, *command: str, code: int = 0, **environment: str) -> str:
        """Run it; what it printed."""
        started = self.start(*command, **environment)
        try:
            output, _ = started.communicate(timeout=150)
        finally:
            started.kill()
        assert started.returncode == code, output
        return output

    def ray(self, *arguments: str, **given: str) -> str:
        """Run ``ray``."""
        return self("ray.scripts.scripts", *arguments, **given)


@pytest.fixture(scope="module")
def hosts() -> Iterator[netns.Hosts]:
    """Three hosts with sshd, as on_prem.yaml names them, and the laptop."""
    if reason := netns.why_not() or ssh.why_not():
        pytest.skip(reason)
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with netns.Hosts(Path(tempfile.mkdtemp(prefix="tn", dir="/tmp")), {"PYTHONPATH": path}) as made:
        for _ in range(4):
            made.add()
        key = ssh.make_key(made.all[3])
        for host in made.all[:3]:
            ssh.serve(host, key, made.here)
            ssh.install(host, made.here)
        yield made


@pytest.fixture(scope="module")
def laptop(hosts: netns.Hosts) -> Iterator[Laptop]:
    """The laptop, once `ray up` is done; the cluster's job server is forwarded to it."""
    document = yaml.safe_load((ROOT / FILE).read_text())
    named = [document["provider"]["head_ip"], *document["provider"]["worker_ips"]]
    assert [host.address for host in hosts.all[:3]] == named
    environment = {name: value for name, value in hosts.environment.items() if name != "RAY_AUTH_TOKEN_PATH"}
    made = Laptop(hosts.all[3], environment)
    made.ray("get-auth-token", "--generate")
    began = time.monotonic()
    print(made.ray("up", "--yes", "--no-config-cache", FILE))
    while "3 node" not in made.ray("exec", FILE, "ray status | grep -c '^ 1 node_\\|^ 1 local.cluster.node\\|node' && ray status"):
        assert time.monotonic() - began < 120
        time.sleep(1)
    print(f"three nodes after {time.monotonic() - began:.0f} s")
    yield made


def test_ray_submit(laptop: Laptop, tmp_path: Path) -> None:
    print(laptop.ray("submit", FILE, "clusters/sweep.py", SPACE, *SMALL, "--store", str(tmp_path)))
    table = pd.read_parquet(tmp_path / "trials" / "study=digits-cnn")
    assert sorted(table["trial"]) == list(range(6))
