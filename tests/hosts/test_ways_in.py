"""The three ways into a cluster that Ray's launcher made from hosts, with clusters/on_prem.yaml as shipped.

The launcher runs on a fourth host, which has nothing but the key and the cluster's token.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import netns
import pandas as pd
import pytest
import ssh
import yaml
from sweeping import PYTHONPATH, ROOT, kill, short_folder

FILE = "clusters/on_prem.yaml"
SPACE = "search_spaces/digits_cnn.yaml"
SMALL = ("--trials", "6", "--epochs", "2", "--cpus", "1", "--gpus", "0", "--concurrent", "3")
JOB_SERVER = "http://127.0.0.1:8265"


@dataclass
class Laptop:
    """The machine where the user works."""

    host: netns.Host
    environment: dict[str, str]

    def start(self, *command: str, stdout: int = subprocess.PIPE, **environment: str) -> subprocess.Popen[str]:
        """Start a Python module in the project's folder."""
        return subprocess.Popen(
            self.host.command("env", f"--chdir={ROOT}", sys.executable, "-m", *command),
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __call__(self, *command: str, code: int = 0, **environment: str) -> str:
        """Run a Python module; returns what it printed."""
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
    """The three hosts that on_prem.yaml names, with sshd, and the laptop."""
    if reason := netns.why_not() or ssh.why_not():
        pytest.skip(reason)
    with netns.Hosts(short_folder(), PYTHONPATH) as made:
        for _ in range(4):
            made.add()
        key = ssh.make_key(made.all[3])
        for host in made.all[:3]:
            ssh.serve(host, key, made.here)
            ssh.install(host, made.here)
        yield made


@pytest.fixture(scope="module")
def laptop(hosts: netns.Hosts) -> Iterator[Laptop]:
    """The laptop, with a cluster that it started; the cluster's job server is forwarded to the laptop."""
    document = yaml.safe_load((ROOT / FILE).read_text())
    named = [document["provider"]["head_ip"], *document["provider"]["worker_ips"]]
    assert [host.address for host in hosts.all[:3]] == named
    environment = {name: value for name, value in hosts.environment.items() if name != "RAY_AUTH_TOKEN_PATH"}
    made = Laptop(hosts.all[3], environment)
    made.ray("get-auth-token", "--generate")
    began = time.monotonic()
    made.ray("up", "--yes", "--no-config-cache", FILE)
    print(f"`ray up` returned after {time.monotonic() - began:.0f} s")
    while "3 local.cluster.node" not in (status := made.ray("exec", FILE, "ray status")):
        assert time.monotonic() - began < 120, status
        time.sleep(1)
    print(f"three nodes after {time.monotonic() - began:.0f} s")
    forward = made.start(
        "ray.scripts.scripts", "dashboard", FILE, stdout=subprocess.DEVNULL
    )  # it leaves ssh behind, which ends with the host
    yield made
    kill(forward)


def test_ray_submit(laptop: Laptop, tmp_path: Path) -> None:
    laptop.ray("submit", FILE, "clusters/sweep.py", SPACE, *SMALL, "--store", str(tmp_path))
    check_swept(tmp_path, "digits-cnn")


def test_ray_job_submit(laptop: Laptop, tmp_path: Path) -> None:
    output = laptop.ray(
        "job", "submit", "--address", JOB_SERVER, "--working-dir", ".",
        "--", "tune-app", "run", SPACE, *SMALL, "--store", str(tmp_path),
    )  # fmt: skip
    assert "succeeded" in output
    check_swept(tmp_path, "digits-cnn")


def test_tune_app_submit(laptop: Laptop, tmp_path: Path) -> None:
    laptop("tune_app", "submit", SPACE, *SMALL, "--address", JOB_SERVER, "--store", str(tmp_path), "--wait")
    check_swept(tmp_path, "digits-cnn-1")
    assert "SUCCEEDED" in laptop("tune_app", "jobs", "status", "digits-cnn-1", "--store", str(tmp_path))


def test_nobody_gets_in_without_the_token(laptop: Laptop, hosts: netns.Hosts, tmp_path: Path) -> None:
    stranger = {"HOME": "/nonexistent", "RAY_AUTH_MODE": "disabled"}
    ours = laptop("tune_app", "submit", SPACE, "--address", JOB_SERVER, "--store", str(tmp_path), code=2, **stranger)
    assert "refused us" in ours
    assert "RAY_AUTH_MODE=token" in ours
    direct = laptop("tune_app", "run", SPACE, "--address", hosts.address, "--store", str(tmp_path), code=2, **stranger)
    assert "refused us" in direct
    assert "Unauthorized" in laptop.ray("job", "list", "--address", JOB_SERVER, code=1, **stranger)


def test_ray_down_leaves_no_ray_behind(laptop: Laptop, hosts: netns.Hosts) -> None:
    assert all("raylet" in processes(host) for host in hosts.all[:3])
    said = laptop.ray("down", "--yes", FILE)
    assert "raylet" not in processes(hosts.all[0]), said
    # Ray's launcher ends the head; the other nodes end after a minute without it.
    began = time.monotonic()
    while any("raylet" in processes(host) for host in hosts.all[1:3]):
        assert time.monotonic() - began < 120
        time.sleep(1)
    print(f"the last Ray ended {time.monotonic() - began:.0f} s after `ray down`")


def check_swept(store: Path, study: str) -> None:
    """Check that six trials completed or were pruned, on more than one host, and left checkpoints."""
    table = pd.read_parquet(store / "trials" / f"study={study}")
    assert sorted(table["trial"]) == list(range(6))
    assert set(table["state"]) <= {"COMPLETED", "PRUNED"}
    print(table["node"].value_counts().to_dict())
    assert len(set(table["node"])) > 1
    assert list((store / "studies" / study / "checkpoints").iterdir())


def processes(host: netns.Host) -> str:
    """The processes that run on a host."""
    shown = subprocess.run(host.command("ps", "ax", "-o", "stat,args"), capture_output=True, text=True, check=True)
    return "".join(line for line in shown.stdout.splitlines(keepends=True) if not line.startswith("Z"))
