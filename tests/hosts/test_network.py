"""Sweeps over several hosts with separate addresses, and what happens to them when the network or a host fails.

The hosts stay up from test to test; the last test that shares them takes one down.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import netns
from diary import LOADS, diary_space, lives
from steady import DATA_BYTES
from sweeping import kill


def test_every_slot_is_used_and_the_data_travels_to_every_host_once(hosts: netns.Hosts, sweep_on: Any) -> None:
    before = [host.received_bytes() for host in hosts.all]
    sweep = sweep_on(hosts)
    sweep.run(hosts.all[0], trials=24, epochs=3, gpus=0.25)
    table = sweep.finish(24)
    assert sweep.most_at_once() == 12
    assert set(table["node"]) == {host.address for host in hosts.all}
    assert set(table["gpu_fraction"]) == {0.25}
    assert set(table["metric/seen"]) == {DATA_BYTES}
    assert len(list((sweep.store / "studies" / sweep.name / "checkpoints").iterdir())) == 24
    received = [host.received_bytes() - start for host, start in zip(hosts.all, before, strict=True)]
    print("received, in data sets:", [f"{count / DATA_BYTES:.2f}" for count in received])
    assert received[0] < 0.5 * DATA_BYTES, "the head has the data and receives only reports"
    for count in received[1:]:
        assert DATA_BYTES < count < 1.5 * DATA_BYTES


def test_a_killed_driver_is_replaced_by_one_on_another_host(hosts: netns.Hosts, sweep_on: Any) -> None:
    sweep = sweep_on(hosts)
    driver = sweep.run(hosts.all[0], trials=18, epochs=3)
    sweep.until(lambda: len(sweep.events("trial_ended")) >= 5)
    kill(driver)
    ended = set(sweep.nodes())
    assert len(ended) < 18
    sweep.command(hosts.all[1], "resume", sweep.name)
    table = sweep.finish(18)
    again = {event["trial"] for event in sweep.restarts()}
    assert again, "nothing was running when the driver was killed"
    assert not again & ended
    assert len(set(table["node"])) == 3


def test_a_link_that_is_cut_for_20_s_and_restored(hosts: netns.Hosts, sweep_on: Any) -> None:
    sweep = sweep_on(hosts)
    sweep.run(hosts.all[0], trials=30, epochs=4)
    sweep.until(lambda: len(sweep.events("trial_ended")) >= 1)
    host = hosts.all[1]
    host.cut()
    try:
        time.sleep(20)
    finally:
        host.mend()
    mended_at = datetime.now(UTC)
    table = sweep.finish(30)
    print(
        "seconds from the link's return to the last trial's end:", (table["ended_at"].max() - mended_at).total_seconds()
    )
    print("trials run again:", sorted(event["trial"] for event in sweep.restarts()))
    assert table["ended_at"].max() - mended_at < timedelta(seconds=60)


def test_a_host_that_joins_is_used_within_15_s(hosts: netns.Hosts, sweep_on: Any) -> None:
    sweep = sweep_on(hosts)
    sweep.run(hosts.all[0], trials=24, epochs=5, gpus=1)
    sweep.until(lambda: sweep.most_at_once() == 3)
    host = hosts.add()
    asked_at = datetime.now(UTC)
    hosts.start_ray(host)
    joined_at = datetime.now(UTC)
    table = sweep.finish(24)
    first = table[table["node"] == host.address]["started_at"].min()
    print("seconds from `ray start` to the first trial:", (first - asked_at).total_seconds())
    assert (first - joined_at).total_seconds() < 15
    assert sweep.most_at_once() == 4


def test_a_host_that_leaves_and_returns_costs_only_the_epochs_since_its_checkpoint(
    hosts: netns.Hosts, sweep_on: Any, tmp_path: Path
) -> None:
    sweep, diaries, file = sweep_on(hosts), tmp_path / "diaries", tmp_path / "space.yaml"
    diaries.mkdir()
    file.write_text(diary_space(sweep.name, diaries, trials=20, epochs=5, pace=(0.4, 0.8), gpus=1.0, pruning="off"))
    sweep.command(hosts.all[0], "run", str(file), "--no-preflight")
    host = hosts.all[1]
    sweep.until(lambda: host.address in sweep.nodes().values())
    host.kill()
    hosts.start_ray(host)
    came_at = datetime.now(UTC)
    table = sweep.finish(20)
    told = lives(diaries)
    assert [fault for life in told.values() for fault in life.faults()] == []
    assert {seed: life.epochs for seed, life in told.items()} == {seed: set(range(1, 6)) for seed in table["seed"]}
    repeated = [count for life in told.values() for count in life.repeated]
    print("epochs trained twice, by the attempts that were lost:", repeated)
    assert len(repeated) <= 1
    assert sum(repeated) <= 3, "a checkpoint is written once a second"
    assert (table.loc[table["node"] == host.address, "started_at"] > came_at).any(), "the host must be used again"
    assert (diaries / LOADS).read_text().split() == [hosts.all[0].name], "only the head loads it, so it is never lost"


def test_a_host_whose_processes_are_killed(hosts: netns.Hosts, sweep_on: Any) -> None:
    sweep = sweep_on(hosts)
    sweep.run(hosts.all[0], trials=18, epochs=4)
    host = hosts.all[-1]
    sweep.until(lambda: host.address in sweep.nodes().values())
    host.kill()
    ended_at = datetime.now(UTC)
    sweep.finish(18)
    check_run_again(sweep, ended_at, within_s=45)


def test_a_host_that_loses_its_power(watchful_hosts: netns.Hosts, sweep_on: Any) -> None:
    sweep = sweep_on(watchful_hosts)
    sweep.run(watchful_hosts.all[0], trials=12, epochs=4)
    host = watchful_hosts.all[-1]
    sweep.until(lambda: host.address in sweep.nodes().values())
    host.cut()
    watchful_hosts.end(host)
    ended_at = datetime.now(UTC)
    sweep.finish(12)
    check_run_again(sweep, ended_at, within_s=60)


def check_run_again(sweep: Any, since: datetime, within_s: float) -> None:
    """Check that the trials of a host that ended at `since` were soon run again elsewhere."""
    restarts = sweep.restarts()
    assert 1 <= len(restarts) <= 2, "two trials share its GPU"
    seconds = [(datetime.fromisoformat(event["at"]) - since).total_seconds() for event in restarts]
    print("seconds from the host's end to the second attempts:", seconds)
    assert max(seconds) < within_s
