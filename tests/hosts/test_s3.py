"""A store on S3: hosts that share nothing but an object server, which one of them runs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import netns
import pytest
from sweeping import HERE, cluster, kill, space

from tune_app.store.study_lock import STALE_S

pytest.importorskip("moto", reason="the object server's tests need moto")

PORT = 5000
BUCKET = "results"
STORE = f"s3://{BUCKET}/team"
ENDPOINT = f"http://{netns.NETWORK}.1:{PORT}"
ACCESS = {
    "AWS_ENDPOINT_URL": ENDPOINT,
    "AWS_ACCESS_KEY_ID": "someone",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}
LIST = """
import boto3, json
found = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket="results")
print(json.dumps([item["Key"] for page in found for item in page.get("Contents", [])]))
"""
LIVE = """
import json
from tune_app.store.store import Store
from tune_app.store.study import Study
print(json.dumps(Study(Store("s3://results/team").folder, "s3").json("live.json")))
"""
READ = """
import pandas as pd
print(pd.read_parquet("s3://results/team/trials/study=s3").to_json(orient="records"))
"""
MAKE = """
import boto3
boto3.client("s3").create_bucket(Bucket="results")
"""


class Site:
    """Two hosts; the user works on the second one."""

    def __init__(self, hosts: netns.Hosts) -> None:
        self.hosts = hosts

    def start(self, host: netns.Host, *command: str) -> subprocess.Popen[str]:
        """Start Python on a host."""
        return subprocess.Popen(
            host.command("env", f"--chdir={HERE}", sys.executable, *command),
            env=self.hosts.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *command: str) -> str:
        """Run Python on the second host; returns what it printed."""
        started = self.start(self.hosts.all[1], *command)
        output, errors = started.communicate(timeout=120)
        assert started.returncode == 0, errors
        return output

    def tune_app(self, *arguments: str) -> Any:
        """Run ``tune-app`` on the second host; returns the document that it printed."""
        return json.loads(self("-m", "tune_app", *arguments, "--store", STORE, "--json"))

    def live(self) -> dict[str, Any]:
        """The live state in the store; empty before there is one."""
        return dict(json.loads(self("-c", LIVE)))

    def objects(self) -> list[str]:
        """The names of all objects."""
        return [str(key) for key in json.loads(self("-c", LIST))]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """The hosts, with a bucket."""
    with cluster(2, **ACCESS) as hosts:
        made = Site(hosts)
        server = subprocess.Popen(
            hosts.all[0].command(sys.executable, "-m", "moto.server", "-H", hosts.all[0].address, "-p", str(PORT)),
            env=hosts.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            made("-c", MAKE)
            yield made
        finally:
            kill(server)


def test_a_sweep_is_killed_resumed_and_read_from_another_host(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "s3.yaml"
    file.write_text(space("s3", trials=12, epochs=4, pace=1.0, gpus=0.5))
    given = ("--address", site.hosts.address, "--store", STORE)
    driver = site.start(site.hosts.all[0], "-m", "tune_app", "run", str(file), "--no-preflight", *given)
    began = time.monotonic()
    while (live := site.live()).get("trials", {}).get("COMPLETED", 0) < 3:
        assert driver.poll() is None, driver.communicate()
        assert time.monotonic() - began < 90
        time.sleep(0.2)
    assert live["state"] == "running"
    assert live["running"]
    kill(driver)

    time.sleep(STALE_S + 5)  # the killed driver's lock
    resumed = site.start(site.hosts.all[1], "-m", "tune_app", "resume", "s3", *given)
    _, errors = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, errors

    (study,) = site.tune_app("studies")
    assert (study["study"], study["trials"], study["completed"], study["state"]) == ("s3", "12/12", 12, "ended")
    trials = site.tune_app("trials", "s3")
    assert sorted(trial["trial"] for trial in trials) == list(range(12))
    assert {trial["node"] for trial in trials} == {host.address for host in site.hosts.all}
    assert len(json.loads(site("-c", READ))) == 12

    assert site.tune_app("show", "s3", "0")["state"] == "COMPLETED"
    keys = [key for key in site.objects() if not key.endswith("/")]
    assert len([key for key in keys if "/checkpoints/" in key]) == 12
    others = [key.removeprefix("team/") for key in keys if "/checkpoints/" not in key]
    print(others)
    assert len(others) < 10, "a finished study has few files"
    assert site.live()["state"] == "ended"
    trained = site.tune_app("train", "--trial", "s3:0", "--epochs", "2")
    assert trained["folder"].startswith(f"{STORE}/trainings/")
    assert f"{trained['folder'].removeprefix(f's3://{BUCKET}/')}/checkpoint.pt" in site.objects()
