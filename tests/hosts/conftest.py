"""Clusters of several hosts on this machine. These tests need root and Debian packages: `make test-hosts`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import netns
import pytest
from sweeping import WATCHFUL, Sweep, cluster, kill


@pytest.fixture(scope="module")
def hosts() -> Iterator[netns.Hosts]:
    """Three hosts for all tests of a module."""
    with cluster(3) as made:
        yield made


@pytest.fixture
def watchful_hosts() -> Iterator[netns.Hosts]:
    """Two hosts whose head declares a silent node dead quickly."""
    with cluster(2, **WATCHFUL) as made:
        yield made


MakeSweep = Callable[[netns.Hosts], Sweep]


@pytest.fixture
def sweep_on(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[MakeSweep]:
    """Make a separate study for each test, in a store that all hosts see."""
    made: list[Sweep] = []

    def make(hosts: netns.Hosts) -> Sweep:
        made.append(Sweep(hosts, tmp_path, request.node.name.removeprefix("test_").replace("_", "-")[:60]))
        return made[-1]

    yield make
    for driver in (driver for sweep in made for driver in sweep.drivers):
        kill(driver)
