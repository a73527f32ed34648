"""The writer of a study: rows are whole and unique at any moment, even after kill -9, and logged events are kept."""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.fs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_app.errors import WorkFailed
from tune_app.folder import LocalFolder, RemoteFolder, open_folder
from tune_app.store import study_writer
from tune_app.store.columns import Row
from tune_app.store.event_log import History
from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.store.study_writer import StudyWriter
from tune_app.store.trial_row import TrialRow

CONFIG = {"config/training/rate": pa.float64(), "config/training/optimizer": pa.string()}


def study_in(root: Path, name: str = "s") -> Study:
    return Study(Store(root).folder, name)


def write(study: Study) -> StudyWriter:
    return StudyWriter(study, study.history(), CONFIG)


def start(writer: StudyWriter, trial: int, attempt: int = 1) -> None:
    writer.trial_started(trial, f"t{trial}", {"rate": 0.1, "optimizer": "sgd"}, 7, attempt)


def epoch_row(trial: int, epoch: int, **metrics: Any) -> Row:
    row = {"trial": trial, "epoch": epoch, "ended_at": f"2026-01-02T03:04:05.{epoch:06d}+00:00", "duration_s": 0.1}
    return {**row, **{f"metric/{name}": value for name, value in metrics.items()}}


def end_row(trial: int, state: str = "COMPLETED", *, epochs: int = 1, **more: Any) -> TrialRow:
    row = {"trial": trial, "trial_id": f"t{trial}", "state": state, "epochs": epochs, "seed": 7, "attempt": 1}
    times = {"started_at": "2026-01-02T03:04:05+00:00", "ended_at": f"2026-01-02T03:05:{trial % 60:02d}.000001+00:00"}
    config = {"config/training/rate": 0.1, "config/training/optimizer": "sgd"}
    return TrialRow.from_columns({**row, **times, "duration_s": 0.3, **config, **more})


def trials_of(study: Study) -> pd.DataFrame:
    return pd.read_parquet(study.trials_path)


def epochs_of(study: Study) -> pd.DataFrame:
    return pd.read_parquet(study.epochs_path)


def epoch_pairs(study: Study) -> list[tuple[int, int]]:
    return sorted(epochs_of(study)[["trial", "epoch"]].itertuples(index=False, name=None))


def test_a_study_from_first_to_last(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    with write(study) as writer:
        assert trials_of(study).empty, "the table exists from the start"
        writer.sweep_started(trials=2)
        for trial in range(2):
            start(writer, trial)
            writer.epochs([epoch_row(trial, 1, loss=2.0), epoch_row(trial, 2, loss=1.0)])
            writer.trial_ended(end_row(trial, epochs=2, objective=1.0))
        writer.live({"state": "ended"})
        writer.sweep_ended(reason=None)
    assert list(trials_of(study)["trial"]) == [0, 1]
    assert epoch_pairs(study) == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert study.json("live.json") == {"state": "ended"}
    for table in ("trials", "epochs"):
        assert os.listdir(tmp_path / table / "study=s") == ["data.parquet"], "one file, with no temporary files left"
    assert sorted(os.listdir(tmp_path / "studies" / "s")) == ["events.jsonl", "live.json"]
    first, *_, last = [json.loads(line) for line in (tmp_path / "studies/s/events.jsonl").read_bytes().splitlines()]
    assert (first["type"], first["schema_version"], last["type"]) == ("sweep_started", 1, "sweep_ended")


def test_events_are_on_disk_at_once_and_tables_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_writer, "FLUSH_PERIOD_S", 0.05)
    monkeypatch.setattr(study_writer, "LIVE_PERIOD_S", 0.02)
    study = study_in(tmp_path)
    with write(study) as writer:
        start(writer, 0)
        writer.epochs([epoch_row(0, 1, loss=1.0)])
        writer.live({"state": "running"})
        assert list(study.history().trials[0].epochs) == [1]
        deadline = time.monotonic() + 5
        while (epochs_of(study).empty or not study.json("live.json")) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(epochs_of(study)) == 1
        assert study.json("live.json") == {"state": "running"}
        assert trials_of(study).empty


def test_a_metric_that_appears_late(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    with write(study) as writer:
        start(writer, 0)
        writer.epochs([epoch_row(0, 1, loss=1.0)])
        writer.trial_ended(end_row(0, **{"metric/loss": 1.0}))
        writer._flush_tables()
        start(writer, 1)
        writer.epochs([epoch_row(1, 1, loss=2, auc=0.5)])
        writer.trial_ended(end_row(1, **{"metric/auc": 0.5, "health/gap": 3}))
    epochs, trials = epochs_of(study), trials_of(study)
    assert epochs["metric/loss"].tolist() == [1.0, 2.0]
    assert math.isnan(epochs["metric/auc"][0])
    assert epochs["metric/auc"][1] == 0.5
    assert list(trials.columns[-3:]) == ["metric/loss", "metric/auc", "health/gap"]
    assert trials["health/gap"].isna().tolist() == [True, False]


def test_not_a_number_is_null(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    with write(study) as writer:
        start(writer, 0)
        writer.epochs([epoch_row(0, 1, loss=math.nan, auc=math.inf), epoch_row(0, 2, loss=0.5, auc=0.5)])
        writer.trial_ended(end_row(0, epochs=2, objective=math.nan, peak_memory_mb=-math.inf))
    for table in (study.table("epochs"), study.history().trials[0].epochs):
        assert len(table) == 2
    assert study.table("epochs")["metric/loss"].to_pylist() == [None, 0.5]
    assert study.table("epochs")["metric/auc"].null_count == 1
    assert study.table("trials")["objective"].null_count == 1
    assert study.table("trials")["peak_memory_mb"].null_count == 1
    assert b"NaN" not in (tmp_path / "studies/s/events.jsonl").read_bytes()


def test_invalid_unicode_is_escaped_and_loses_no_row(tmp_path: Path) -> None:
    study, broken = study_in(tmp_path), os.fsdecode(b"caf\xe9")
    with write(study) as writer:
        start(writer, 0)
        writer.trial_ended(end_row(0, "FAILED", epochs=0, error=broken, sample=broken))
        writer.live({"latest": broken})
        writer.sweep_ended(reason="fuse", message=broken)
    assert study.table("trials")["error"].to_pylist() == ["caf\\udce9"]
    assert study.table("trials")["sample"].to_pylist() == ["caf\\udce9"]
    assert study.json("live.json")["latest"] == "caf\\udce9"


def test_a_removed_study_is_not_created_again(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    writer = write(study)
    start(writer, 0)
    shutil.rmtree(tmp_path / "studies")
    with pytest.raises(WorkFailed, match="its event log is gone"):
        writer.trial_ended(end_row(0, epochs=0))
    with pytest.raises(WorkFailed, match="its event log is gone"):
        writer.close()
    assert not (tmp_path / "studies" / "s" / "events.jsonl").exists()


def test_a_log_with_invalid_unicode_can_be_resumed(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    with write(study) as writer:
        start(writer, 0)
        writer.trial_ended(end_row(0, "FAILED", epochs=0, error="caf?"))
    log = tmp_path / "studies/s/events.jsonl"
    log.write_bytes(log.read_bytes().replace(b"caf?", b"caf\\udce9"))
    with write(study):
        pass
    assert study.table("trials")["error"].to_pylist() == ["caf\\udce9"]


def test_a_cancelled_trial_that_is_run_again_has_one_row(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    with write(study) as writer:
        start(writer, 0)
        writer.epochs([epoch_row(0, epoch, loss=float(epoch)) for epoch in (1, 2, 3)])
        writer.trial_ended(end_row(0, "CANCELLED", epochs=3))
    assert trials_of(study)["state"].tolist() == ["CANCELLED"]
    assert not study.history().trials[0].finished
    with write(study) as writer:
        start(writer, 0, attempt=2)
        writer._flush_tables()
        assert trials_of(study).empty, "it counts as running again"
        assert epoch_pairs(study) == [(0, 1), (0, 2), (0, 3)], "epochs that were not measured again still count"
        writer.epochs([epoch_row(0, 3, loss=30.0)])
        writer.epochs([epoch_row(0, 4, loss=40.0)])
        writer.trial_ended(end_row(0, epochs=4))
    assert trials_of(study)["state"].tolist() == ["COMPLETED"]
    assert epochs_of(study).sort_values("epoch")["metric/loss"].tolist() == [1.0, 2.0, 30.0, 40.0]


def test_an_attempt_that_is_shorter_than_the_previous_one(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    with write(study) as writer:
        start(writer, 0)
        writer.epochs([epoch_row(0, epoch, loss=float(epoch)) for epoch in (1, 2, 3, 4)])
        writer._flush_tables()
        start(writer, 0, attempt=2)
        writer.epochs([epoch_row(0, 2, loss=20.0)])
        writer.trial_ended(end_row(0, "PRUNED", epochs=2))
    assert epochs_of(study).sort_values("epoch")["metric/loss"].tolist() == [1.0, 20.0]
    assert study.history().trials[0].attempt == 2
    assert sorted(study.history().trials[0].epochs) == [1, 2]


def test_a_trial_that_ends_twice_has_its_last_row(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    with write(study) as writer:
        start(writer, 0)
        writer.trial_ended(end_row(0, "FAILED", epochs=0))
        writer.trial_ended(end_row(0, "COMPLETED", epochs=0))
    assert trials_of(study)["state"].tolist() == ["COMPLETED"]


def test_a_truncated_last_line_is_dropped(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    with write(study) as writer:
        start(writer, 0)
    with (tmp_path / "studies/s/events.jsonl").open("ab") as log:
        log.write(b'{"event": 2, "type": "trial_en')
    (tmp_path / "trials/study=s/.data.parquet.1.2.tmp").write_bytes(b"half")
    assert study.history().last_event == 1
    with write(study) as writer:
        writer.trial_ended(end_row(0, epochs=0))
    lines = (tmp_path / "studies/s/events.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == [1, 2]
    assert study.history().trials[0].finished
    assert os.listdir(tmp_path / "trials/study=s") == ["data.parquet"]


def test_tables_are_repaired_from_the_log(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    with write(study) as writer:
        start(writer, 0)
        writer.epochs([epoch_row(0, 1, loss=1.0)])
        writer.trial_ended(end_row(0))
    (tmp_path / "trials/study=s/data.parquet").write_bytes(b"PAR1 damaged")
    (tmp_path / "epochs/study=s/data.parquet").unlink()
    write(study).close()
    assert trials_of(study)["trial"].tolist() == [0]
    assert epoch_pairs(study) == [(0, 1)]


def test_a_variable_that_the_task_no_longer_has(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    with write(study) as writer:
        start(writer, 0)
        writer.trial_ended(end_row(0, epochs=0, **{"config/data/flip": True, "config/data/kind": "a"}))
    trials = trials_of(study)
    assert trials["config/data/flip"].tolist() == [True]
    assert trials["config/data/kind"].tolist() == ["a"]


def test_a_remote_study(tmp_path: Path) -> None:
    filesystem, root = pyarrow.fs.FileSystem.from_uri("mock:///root")
    study = Study(RemoteFolder("mock:///root", filesystem, root), "s")
    for trial in range(3):
        with StudyWriter(study, study.history(), CONFIG) as writer:
            start(writer, trial)
            writer.epochs([epoch_row(trial, 1, loss=1.0)])
            writer.trial_ended(end_row(trial))
    assert study.table("trials")["trial"].to_pylist() == [0, 1, 2]
    assert len(list(study.history().epoch_rows())) == 3
    assert study.folder.names("studies/s") == ["events.jsonl"]


def test_a_study_that_is_removed_from_an_object_store_is_noticed(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_writer, "REMOTE_CHECK_S", 0.1)
    study = Study(open_folder(s3_url), "removed")
    study.folder.write(f"{study.base}/spec.yaml", b"{}")
    writer = write(study)
    start(writer, 0)
    study.folder.remove(f"{study.base}/spec.yaml")
    time.sleep(3 * study_writer.REMOTE_PERIOD_S)
    with pytest.raises(WorkFailed, match="its search space is gone"):
        writer.check()
    with pytest.raises(WorkFailed, match="its search space is gone"):
        writer.close()


class Full(LocalFolder):
    """A folder on a disk that fills up."""

    full = ""

    def write(self, name: str, content: bytes) -> None:
        if self.full and self.full in name:
            raise WorkFailed(f"cannot write {name}: No space left on device")
        super().write(name, content)

    def append(self, name: str, content: bytes) -> None:
        if self.full and self.full in name:
            raise WorkFailed(f"cannot write {name}: No space left on device")
        super().append(name, content)


def test_a_full_disk_in_the_background_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_writer, "FLUSH_PERIOD_S", 0.02)
    monkeypatch.setattr(study_writer, "LIVE_PERIOD_S", 0.01)
    folder = Full(tmp_path)
    writer = write(Study(folder, "s"))
    start(writer, 0)
    folder.full = "data.parquet"
    writer.epochs([epoch_row(0, 1, loss=1.0)])
    deadline = time.monotonic() + 5
    while writer._error is None and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(WorkFailed, match="No space left"):
        writer.check()
    with pytest.raises(WorkFailed, match="No space left"):
        writer.trial_ended(end_row(0))
    with pytest.raises(WorkFailed, match="No space left"):
        writer.close()


def test_an_event_that_cannot_be_logged_changes_nothing(tmp_path: Path) -> None:
    folder = Full(tmp_path)
    study = Study(folder, "s")
    history = History()
    with StudyWriter(study, history, CONFIG) as writer:
        start(writer, 0)
        folder.full = "events"
        with pytest.raises(WorkFailed):
            writer.trial_ended(end_row(0))
        folder.full = ""
    assert history.trials[0].row is None
    assert trials_of(study).empty
    assert study.history().trials[0].row is None


def test_an_error_is_not_hidden_by_the_writers_own_error(tmp_path: Path) -> None:
    folder = Full(tmp_path)

    def sweep() -> None:
        with write(Study(folder, "s")) as writer:
            start(writer, 0)
            folder.full = "data.parquet"
            writer.epochs([epoch_row(0, 1)])
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        sweep()


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("start"), st.integers(0, 3)),
        st.tuples(st.just("epochs"), st.integers(0, 3), st.integers(1, 3)),
        st.tuples(st.just("end"), st.integers(0, 3), st.sampled_from(["COMPLETED", "PRUNED", "FAILED", "CANCELLED"])),
        st.tuples(st.just("flush")),
        st.tuples(st.just("restart")),
        st.tuples(st.just("crash")),
    ),
    max_size=40,
)


class Model:
    """What the tables must hold, computed the simple way."""

    def __init__(self) -> None:
        self.epochs: dict[int, dict[int, float]] = {}
        self.states: dict[int, str] = {}
        self.running: dict[int, int] = {}

    def check(self, study: Study) -> None:
        trials, epochs = study.table("trials").to_pylist(), study.table("epochs").to_pylist()
        assert sorted((r["trial"], r["state"]) for r in trials) == sorted(self.states.items())
        assert sorted((r["trial"], r["epoch"], r["metric/value"]) for r in epochs) == sorted(
            (trial, epoch, value) for trial, values in self.epochs.items() for epoch, value in values.items()
        )


@given(ACTIONS)
@settings(max_examples=60, deadline=None)
def test_any_sequence_of_events_gives_the_tables_of_a_simple_model(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[Any, ...]]
) -> None:
    study = study_in(tmp_path_factory.mktemp("course"))
    model, values = Model(), itertools.count()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_writer, "FLUSH_PERIOD_S", 1e9)
        writer = write(study)
        for kind, *arguments in actions:
            trial = arguments[0] if arguments else -1
            if kind == "start" and trial not in model.running and model.states.get(trial, "CANCELLED") == "CANCELLED":
                model.states.pop(trial, None)
                # As in a worker: a new attempt starts from some checkpoint of the previous one.
                model.running[trial] = len(model.epochs.setdefault(trial, {})) // 2
                start(writer, trial)
            elif kind == "epochs" and trial in model.running:
                rows = []
                for _ in range(arguments[1]):
                    model.running[trial] += 1
                    model.epochs[trial][model.running[trial]] = value = float(next(values))
                    rows.append(epoch_row(trial, model.running[trial], value=value))
                writer.epochs(rows)
            elif kind == "end" and trial in model.running:
                last = model.running.pop(trial)
                model.epochs[trial] = {e: v for e, v in model.epochs[trial].items() if e <= last}
                model.states[trial] = arguments[1]
                writer.trial_ended(end_row(trial, arguments[1], epochs=last))
            elif kind == "flush":
                writer._flush_tables()
                model.check(study)
            elif kind in ("restart", "crash"):
                if kind == "crash":  # nothing else is flushed: only the log is left
                    writer._flush_tables = lambda force=False: None  # type: ignore[method-assign]
                writer.close()
                model.running.clear()
                writer = write(study)
                model.check(study)
        writer.close()
    model.check(study)


KILLED = """
import itertools, sys
from tune_app.store import study_writer
from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.store.study_writer import StudyWriter
from tune_app.store.trial_row import TrialRow, TrialState
study_writer.FLUSH_PERIOD_S = study_writer.LIVE_PERIOD_S = 0.001
study_writer.FLUSH_SHARE = 1
study = Study(Store(sys.argv[1]).folder, "s")
history = study.history()
at = "2026-01-02T03:04:05.000001+00:00"
with StudyWriter(study, history, {}) as writer:
    for trial in itertools.count(len(history.rows())):  # the one that was killed is run again
        writer.trial_started(trial, f"t{trial}", {}, 0, 1)
        for epoch in range(1, 4):
            row = {"trial": trial, "epoch": epoch, "ended_at": at, "duration_s": 0.1, "metric/loss": 1.0 / epoch}
            writer.epochs([row])
        row = TrialRow(trial, f"t{trial}", TrialState.COMPLETED, 3, at, at, 0.3, 0, 1, error="x" * 200)
        writer.trial_ended(row)
        writer.live({"trial": trial})
        print(trial, flush=True)
"""


@pytest.fixture(scope="module")
def rng() -> random.Random:
    seed = random.SystemRandom().randrange(10**6)
    print(f"random moments of seed {seed}")
    return random.Random(seed)


def check_tables(study: Study) -> int:
    """Check that both tables are whole and their rows unique; returns the number of trials."""
    trials = trials_of(study)
    epochs = epochs_of(study)
    assert trials["trial"].is_unique
    assert trials["trial"].tolist() == list(range(len(trials)))
    assert trials["state"].eq("COMPLETED").all()
    assert not epochs.duplicated(["trial", "epoch"]).any()
    assert set(trials["trial"]) <= set(epochs.loc[epochs["epoch"] == 3, "trial"]), "a trial comes after its epochs"
    return len(trials)


def test_kill_minus_nine_at_any_moment(tmp_path: Path, rng: random.Random) -> None:
    study, logged, reads = study_in(tmp_path), -1, 0
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            seen = [process.stdout.readline()]
            deadline = time.monotonic() + rng.uniform(0.05, 0.5)
            while time.monotonic() < deadline:
                check_tables(study)
                reads += 1
        finally:
            os.kill(process.pid, signal.SIGKILL)
            seen += process.stdout.read().splitlines()
            process.stdout.close()
            process.wait()
        check_tables(study)
        logged = max(logged, *map(int, filter(str.strip, seen)))
        history = study.history()
        assert len(history.rows()) >= logged + 1, "logged events are kept"
        assert all(len(record.epochs) == 3 for record in history.trials.values() if record.row)
    StudyWriter(study, study.history(), {}).close()
    assert check_tables(study) == len(study.history().rows()) >= logged + 1 > 20
    assert reads > 10
    for table in ("trials", "epochs"):
        assert os.listdir(tmp_path / table / "study=s") == ["data.parquet"]
