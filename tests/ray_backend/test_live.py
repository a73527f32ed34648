"""What a reader who has only the store sees of a running sweep."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tune_app.ray_backend import epoch_progress
from tune_app.ray_backend.epoch_progress import EpochProgress
from tune_app.sweep.backend import Run


class Reader(threading.Thread):
    """Reads ``live.json`` again and again, and keeps each state with the time when it was read."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.path, self.seen, self.stop = path, [], False
        self.seen: list[tuple[datetime, dict[str, Any]]]

    def run(self) -> None:
        while not self.stop:
            if self.path.exists():
                self.seen.append((datetime.now(UTC), json.loads(self.path.read_text())))
            time.sleep(0.02)


def test_a_reader_sees_every_start_and_the_fraction_of_each_epoch(
    connected: str, run_space: Any, make_space: Any, tmp_path: Path
) -> None:
    reader = Reader(tmp_path / "studies" / "faulty" / "live.json")
    reader.start()
    parameters = {"training": {"level": {"type": "float", "low": 0.0, "high": 0.9}, "pace": 0.8}}
    document = make_space(budget={"trials": 4, "epochs": 2}, parameters=parameters, resources={"concurrent": 2})
    swept = run_space(tmp_path, document)
    reader.stop = True
    reader.join()

    running = [(at, trial) for at, live in reader.seen for trial in live["running"]]
    for event in map(json.loads, swept.study.folder.read(f"{swept.study.base}/events.jsonl").splitlines()):
        if event["type"] == "trial_started":
            first = next(at for at, trial in running if trial["trial"] == event["trial"])
            assert (first - datetime.fromisoformat(event["at"])).total_seconds() < 1.0
    halves = {(trial["trial"], trial["epoch"]) for _, trial in running if trial["fraction"] == 0.5}
    assert halves == {(number, epoch) for number in range(4) for epoch in (0, 1)}
    last = reader.seen[-1][1] if reader.seen[-1][1]["state"] == "ended" else json.loads(reader.path.read_text())
    assert last["trials"] == {"COMPLETED": 4, "RUNNING": 0}
    assert last["running"] == []


def test_studies_with_one_name_in_two_stores_have_separate_progress(connected: str) -> None:
    one, other = (EpochProgress(store, "twins", 0, 1) for store in ("/stores/one", "/stores/other"))
    one.epoch, other.epoch = 3, 5
    one(0.25)
    other(0.75)
    run = Run(0, "twins-00000", {}, 9, 0, 1)
    assert epoch_progress.read("/stores/one", "twins", [run]) == {0: (3, 0.25)}
    epoch_progress.forget("/stores/one", "twins")
    assert epoch_progress.read("/stores/one", "twins", [run]) == {}
    assert epoch_progress.read("/stores/other", "twins", [run]) == {0: (5, 0.75)}
