"""What TensorBoard itself shows for a log: the scalars of each trial and the hyperparameter table."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tune_app.errors import WorkFailed
from tune_app.store import tensorboard_log
from tune_app.store.tensorboard_log import OPEN_FILES, TensorBoardLog

START_S = 60


def row(epoch: int, accuracy: float | None, overall: float | None = 0.7) -> dict[str, Any]:
    return {"epoch": epoch, "duration_s": 1.0, "metric/val_accuracy": accuracy, "health/overall": overall}


@pytest.fixture
def log(tmp_path: Path) -> TensorBoardLog:
    return TensorBoardLog(tmp_path, ["val_accuracy"])


def ask(address: str, path: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())


def test_tensorboard_shows_scalars_and_hyperparameters(log: TensorBoardLog, tmp_path: Path) -> None:
    log.epochs(0, [row(1, 0.5), row(2, 0.6)])
    log.epochs(1, [row(1, 0.4, overall=None)])
    log.epochs(0, [row(3, 0.75)])
    log.end(0, {"optimizer": "sgd", "learning_rate": 0.1, "batch_norm": True, "filters": 16})
    log.end(1, {"optimizer": "adamw", "learning_rate": 0.01, "batch_norm": False, "filters": 8})
    log.close()
    assert log.error is None
    # The Python reader, because it prints the port that it got.
    command = [
        sys.executable,
        "-m",
        "tensorboard.main",
        "--logdir",
        str(tmp_path),
        "--port",
        "0",
        "--host",
        "127.0.0.1",
    ]
    with (tmp_path / "said").open("w") as said:
        server = subprocess.Popen([*command, "--load_fast", "false"], stdout=said, stderr=said)
    try:
        deadline = time.monotonic() + START_S
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", (tmp_path / "said").read_text())):
            assert time.monotonic() < deadline, (tmp_path / "said").read_text()
            time.sleep(0.1)
        address = found[0] + "/data/plugin/"
        while set(tags := ask(address, "scalars/tags")) != {"trial-00000", "trial-00001"}:
            assert time.monotonic() < deadline, tags
            time.sleep(0.2)
        points = ask(address, "scalars/scalars?run=trial-00000&tag=metric%2Fval_accuracy")
        assert [(step, pytest.approx(value)) for _, step, value in points] == [(1, 0.5), (2, 0.6), (3, 0.75)]
        assert set(tags["trial-00001"]) == {"metric/val_accuracy"}
        wanted = {"colParams": [], "allowedStatuses": ["STATUS_SUCCESS"], "startIndex": 0, "sliceSize": 10}
        groups = ask(address, "hparams/session_groups", wanted)["sessionGroups"]
        table = {group["hparams"]["optimizer"]: group for group in groups}
        assert table["sgd"]["hparams"] == {
            "optimizer": "sgd",
            "learning_rate": 0.1,
            "batch_norm": True,
            "filters": 16.0,
        }
        values = {value["name"]["tag"]: value["value"] for value in table["sgd"]["metricValues"]}
        assert values == {"metric/val_accuracy": pytest.approx(0.75), "health/overall": pytest.approx(0.7)}
    finally:
        server.terminate()
        server.wait()


def test_values_can_be_read_while_the_trial_runs(log: TensorBoardLog, tmp_path: Path) -> None:
    log.epochs(7, [row(1, 0.5)])
    deadline = time.monotonic() + 10
    while b"val_accuracy" not in b"".join(path.read_bytes() for path in tmp_path.glob("trial-00007/*")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    log.close()


def test_a_trial_that_ends_at_once_and_is_not_kept_never_has_a_file(log: TensorBoardLog, tmp_path: Path) -> None:
    for trial in range(3):
        log.epochs(trial, [row(1, 0.5)])
        log.end(trial, {"filters": 8})
    log.remove(0)
    log.epochs(3, [row(1, 0.5)])
    log.remove(3)
    time.sleep(0.3)
    assert not list(tmp_path.iterdir()), "files are not written yet"
    log.close()
    assert log.error is None
    assert {path.name for path in tmp_path.iterdir()} == {"trial-00001", "trial-00002"}


def test_a_trial_that_is_no_longer_kept_loses_its_file(
    log: TensorBoardLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorboard_log, "WAIT_S", 0.0)
    for trial in range(2):
        log.epochs(trial, [row(1, 0.5)])
    log.end(0, {"filters": 8})
    deadline = time.monotonic() + 10
    while not (tmp_path / "trial-00000").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    log.remove(0)
    log.close()
    assert {path.name for path in tmp_path.iterdir()} == {"trial-00001"}


def test_many_trials_at_once_do_not_exhaust_open_files(
    log: TensorBoardLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorboard_log, "WAIT_S", 0.0)
    for epoch in (1, 2):
        for trial in range(2 * OPEN_FILES):
            log.epochs(trial, [row(epoch, 0.5)])
    log.close()
    assert log.error is None
    written = {path: path.read_bytes() for path in tmp_path.glob("*/*")}
    assert sum(content.count(b"metric/val_accuracy") for content in written.values()) == 4 * OPEN_FILES


def test_an_unwritable_folder_becomes_the_logs_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    log = TensorBoardLog(tmp_path / "file", ["val_accuracy"])
    log.epochs(0, [row(1, 0.5)])
    log.close()
    assert isinstance(log.error, WorkFailed)
    assert "Not a directory" in str(log.error)
