"""Nodes that lack what a user's code needs: the error names the node, what is missing, and the fix."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import netns
import pandas as pd
import pytest
import yaml
from sweeping import HERE, PYTHONPATH, cluster, space

READS = """
def tune(config, report):
    for epoch in range(2):
        report({"score": config["level"] + len(open(config["words"]).read())})
"""


@pytest.fixture(scope="module")
def hosts() -> Iterator[netns.Hosts]:
    """Two nodes; a user's project is only on the first one, as it is if nothing is mounted."""
    with cluster(2) as made:
        project = made.all[0].own / "project"
        project.mkdir()
        (project / "mine.py").write_text((HERE / "steady.py").read_text())
        (project / "reads.py").write_text(READS)
        (project / "words.txt").write_text("a few words")
        (made.all[1].own / "project").mkdir()
        yield made


def sweep(hosts: netns.Hosts, store: Path, document: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run a sweep in the project folder on the first host."""
    (store / "space.yaml").write_text(yaml.safe_dump(document))
    given = ["--no-preflight", "--address", hosts.address, "--store", str(store)]
    return subprocess.run(
        hosts.all[0].command("env", f"--chdir={hosts.here}/project", sys.executable, "-m", "tune_app", "run",
                             str(store / "space.yaml"), *given),
        env={**hosts.environment, **PYTHONPATH}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_a_node_without_the_code_or_with_another_version_is_named(hosts: netns.Hosts, tmp_path: Path) -> None:
    document = {**yaml.safe_load(space("own", trials=2, epochs=1, pace=0.0, gpus=0.0)), "task": "mine:Steady"}
    there = hosts.all[1].own / "project" / "mine.py"
    for content, what in ((None, "it is missing"), ("class Steady: ...", "its version differs")):
        if content is not None:
            there.write_text(content)
        done = sweep(hosts, tmp_path, document)
        rule = f"the node {hosts.all[1].address} must have the same module `mine` of the task, but {what}"
        assert done.returncode == 2
        assert f"error: {rule}\n  copy {hosts.here}/project/mine.py there" in done.stderr
    there.write_text((HERE / "steady.py").read_text())
    assert sweep(hosts, tmp_path, document).returncode == 0


def test_a_trial_that_lacks_its_data_names_its_node(hosts: netns.Hosts, tmp_path: Path) -> None:
    (hosts.all[1].own / "project" / "reads.py").write_text(READS)
    document = yaml.safe_load(space("reading", trials=8, epochs=2, pace=0.0, gpus=0.0))
    words = f"{hosts.here}/project/words.txt"
    parameters = {"training": {"level": {"type": "float", "low": 0.0, "high": 0.9}, "words": words}}
    document |= {"task": "reads:tune", "metrics": {"score": "maximize"}, "parameters": parameters}
    del document["dataset"]
    sweep(hosts, tmp_path, document)
    table = pd.read_parquet(tmp_path / "trials" / "study=reading").set_index("trial")
    failed = table[table["state"] == "FAILED"]
    first, second = (host.address for host in hosts.all)
    assert set(failed["node"]) == {second}
    assert set(table.loc[table["state"] == "COMPLETED", "node"]) == {first}
    place = f"this was on the node {second} in /, and the sweep was started on {first} in {hosts.here}/project"
    for error in failed["error"]:
        assert f"No such file or directory: '{words}'" in error
        assert f"{place}: what trials read or import must be on every node" in error
