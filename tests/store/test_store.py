"""The store as readers see it: columns, versions, damage, locks, and a study written by an earlier version."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tune_app.errors import InputError, WorkFailed
from tune_app.profiles.profile import from_trial
from tune_app.results import review
from tune_app.spaces.spec import Spec
from tune_app.spaces.variable import Categorical, Domain, Float, Int, Value, Variable
from tune_app.store.columns import EPOCH_COLUMNS, TRIAL_COLUMNS, column_types, make_table
from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.tasks import load_task
from tune_app.training.seed import derive_seed

MakeStudy = Callable[..., Study]
OLD_STORE = Path(__file__).parents[1] / "fixtures" / "store_v1"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, make_study: MakeStudy) -> Path:
    """A store with one study, for tests that only read."""
    folder = tmp_path_factory.mktemp("store")
    make_study(folder)
    return folder


@pytest.fixture
def study(tmp_path: Path, make_study: MakeStudy) -> Study:
    return make_study(tmp_path)


def test_columns_match_the_design(root: Path) -> None:
    trials = pd.read_parquet(root / "trials/study=digits-small")
    epochs = pd.read_parquet(root / "epochs/study=digits-small")
    families = [f"config/{v.group}/{v.name}" for v in load_task("image_cnn").variables]
    assert list(trials.columns) == [
        *("trial", "trial_id", "state", "objective", "failure_kind", "error", "epochs", "started_at", "ended_at"),
        *(
            "duration_s",
            "node",
            "device",
            "gpu_fraction",
            "peak_memory_mb",
            "gpu_utilization",
            "model_parameters",
            "seed",
            "attempt",
        ),
        *("checkpoint", "source", "latency_ms", "resumed_from", *families, "metric/val_accuracy", "metric/val_loss"),
    ]
    assert list(epochs.columns) == [
        *("trial", "epoch", "ended_at", "duration_s", "metric/val_accuracy", "metric/val_loss")
    ]
    assert str(trials["started_at"].dtype) == str(epochs["ended_at"].dtype) == "datetime64[us, UTC]"
    assert trials["state"].tolist() == ["COMPLETED", "PRUNED", "COMPLETED", "FAILED", "COMPLETED"]
    assert trials["epochs"].tolist() == [2, 1, 2, 0, 2]
    assert trials["failure_kind"].tolist()[3] == "error"
    assert trials["seed"].tolist() == [derive_seed(0, n) for n in range(5)]
    assert trials["config/architecture/batch_norm"].dtype == bool
    assert trials["config/architecture/filters"].dtype == "int64"
    assert trials["config/training/epochs"].tolist() == [2] * 5, "fixed values are included"
    assert trials["config/inference/tta"].tolist() == [1] * 5, "defaults are included"
    assert len(epochs) == 7


def test_each_table_is_one_file_that_names_its_version(root: Path) -> None:
    for table in ("trials", "epochs"):
        (file,) = (root / table / "study=digits-small").iterdir()
        assert pq.read_schema(file).metadata[b"schema_version"] == b"1"


def test_the_whole_store_is_one_data_set(tmp_path: Path, make_study: MakeStudy, make_spec: Callable[..., Spec]) -> None:
    make_study(tmp_path)
    make_study(tmp_path, make_spec(name="second"), ends=["COMPLETED"])
    trials = pd.read_parquet(tmp_path / "trials")
    assert trials["study"].value_counts().to_dict() == {"digits-small": 5, "second": 1}


def test_column_types_follow_the_domains() -> None:
    domains: dict[str, tuple[Domain, Value, pa.DataType]] = {
        "a": (Float(0, 1), 0.5, pa.float64()),
        "b": (Int(0, 9), 1, pa.int64()),
        "c": (Categorical((True, False)), True, pa.bool_()),
        "d": (Categorical((1, 2)), 1, pa.int64()),
        "e": (Categorical((1, 2.5)), 1, pa.float64()),
        "f": (Categorical(("x", "y")), "x", pa.string()),
        "g": (Categorical((1, "auto")), 1, pa.string()),
        "h": (Categorical((True, 0.5)), True, pa.string()),
    }
    variables = [Variable(name, "data", domain, default, "A.") for name, (domain, default, _) in domains.items()]
    assert column_types(variables) == {f"config/data/{name}": kind for name, (_, _, kind) in domains.items()}
    table = make_table([{f"config/data/{v.name}": v.default for v in variables}], column_types(variables))
    assert table["config/data/g"].to_pylist() == ["1"]


def test_studies_and_their_nearest_names(root: Path) -> None:
    store = Store(root)
    assert store.studies() == ["digits-small"]
    with pytest.raises(InputError, match="there is no study `digit-smal`") as caught:
        store.study("digit-smal")
    assert "did you mean `digits-small`?" in caught.value.hint
    with pytest.raises(InputError) as caught:
        Store(root / "nothing").study("x")
    assert "the store is empty" in caught.value.hint


@pytest.mark.parametrize("name", ["", ".", "..", "../trials", "digits-small/..", "/etc", "digits-small\0"])
def test_a_name_cannot_reach_other_folders(root: Path, name: str) -> None:
    with pytest.raises(InputError, match="there is no study"):
        Store(root).study(name)


def test_what_is_not_a_study_is_not_listed(study: Study, tmp_path: Path) -> None:
    (tmp_path / "studies" / "notes.txt").write_text("mine")
    (tmp_path / "studies" / "empty").mkdir()
    with Study(study.folder, "refused").writing():
        pass
    assert Store(tmp_path).studies() == ["digits-small"]


def test_a_study_that_has_just_begun_has_empty_tables(tmp_path: Path, study: Study) -> None:
    study.folder.write("studies/young/spec.yaml", b"{}")
    young = Store(tmp_path).study("young")
    assert young.table("trials").column_names == list(TRIAL_COLUMNS)
    assert young.table("epochs").column_names == list(EPOCH_COLUMNS)
    assert young.history().trials == {}
    assert young.json("live.json") == {}


def test_a_newer_version_is_rejected(study: Study, tmp_path: Path) -> None:
    path = tmp_path / "trials/study=digits-small/data.parquet"
    for version in ("2", "x", None):
        pq.write_table(
            study.table("trials").replace_schema_metadata({"schema_version": version} if version else None), path
        )
        with pytest.raises(InputError, match="`schema_version` must be 1 to 1, but got") as caught:
            study.table("trials")
        assert caught.value.where == str(path)
        assert "update tune-app" in caught.value.hint
        pq.write_table(study.table("epochs").replace_schema_metadata({"schema_version": "1"}), path)
    log = tmp_path / "studies/digits-small/events.jsonl"
    log.write_bytes(log.read_bytes().replace(b'"schema_version": 1', b'"schema_version": 2'))
    with pytest.raises(InputError, match="but got 2"):
        study.history()


DAMAGES = {
    "trials/study=digits-small/data.parquet": (b"no parquet at all", "must be a Parquet file"),
    "epochs/study=digits-small/data.parquet": (b"", "must be a Parquet file"),
    "studies/digits-small/spec.yaml": (b"a: [", "must be the search space"),
    "studies/digits-small/live.json": (b"{", "must be a JSON object"),
    "studies/digits-small/provenance.json": (b"[1]", "must be a JSON object"),
    "studies/digits-small/events.jsonl": (b'{"event": 1}\n', "a line of the event log must be one event"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named_with_its_file(name: str, study: Study, tmp_path: Path) -> None:
    content, rule = DAMAGES[name]
    (tmp_path / name).write_bytes(content)
    kind, _, file = name.partition("/")
    read: Callable[[], object] = {
        "data.parquet": lambda: study.table(kind),
        "spec.yaml": study.document,
        "events.jsonl": study.history,
    }.get(Path(file).name, lambda: study.json(Path(file).name))
    with pytest.raises(InputError, match=rule) as caught:
        read()
    assert caught.value.where.startswith(str(tmp_path / name))
    assert len(str(caught.value).splitlines()) <= 2


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"\0\0\0\0", b"\xff\xfe", b"3", b"[]", b'"text"', b"{}"),
        b'{"event": 9, "type": "epochs", "rows": [{"trial": 77, "epoch": 1}]}',
        b'{"event": 9, "type": "trial_ended", "row": {}}',
    ],
)
def test_a_damaged_line_of_the_log(line: bytes, study: Study, tmp_path: Path) -> None:
    log = tmp_path / "studies/digits-small/events.jsonl"
    log.write_bytes(log.read_bytes() + line + b"\n")
    number = log.read_bytes().count(b"\n")
    with pytest.raises(InputError, match="must be one event") as caught:
        study.history()
    assert caught.value.where == f"{log}:{number}"


def test_a_growing_log_is_read_in_whole_lines(study: Study, tmp_path: Path) -> None:
    path = tmp_path / study.base / "events.jsonl"
    whole = path.read_bytes()
    reading, events = study.event_log(), []
    for end in range(0, len(whole) + 97, 97):
        path.write_bytes(whole[:end])
        events += reading.new_events()
    assert [event["event"] for event in events] == list(range(1, whole.count(b"\n") + 1))
    assert reading.history == study.history()


def test_reading_continues_once_a_damaged_log_is_fixed(study: Study, tmp_path: Path) -> None:
    path = tmp_path / study.base / "events.jsonl"
    whole, reading = path.read_bytes(), study.event_log()
    path.write_bytes(whole + b"garbage\n")
    for _ in range(2):
        with pytest.raises(InputError, match="but got 'garbage'") as caught:
            reading.read_on()
        assert caught.value.where == f"{path}:{len(whole.splitlines()) + 1}"
    path.write_bytes(whole)
    assert reading.new_events() == []
    assert reading.history == study.history()


def test_a_missing_table_and_a_missing_spec(study: Study, tmp_path: Path) -> None:
    (tmp_path / "trials/study=digits-small/data.parquet").unlink()
    with pytest.raises(InputError, match="it is missing") as caught:
        study.table("trials")
    assert "tune-app resume digits-small" in caught.value.hint
    (tmp_path / "studies/digits-small/spec.yaml").unlink()
    with pytest.raises(InputError, match="must have its spec"):
        study.document()


LOCKED = """
import sys
from tune_app.store.store import Store
from tune_app.store.study import Study
with Study(Store(sys.argv[1]).folder, "digits-small").writing():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_writer_is_refused(study: Study, tmp_path: Path) -> None:
    assert not study.being_written()
    command = [sys.executable, "-c", LOCKED, str(tmp_path)]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert study.being_written()
        with pytest.raises(InputError, match="is being written by another process") as caught, study.writing():
            raise AssertionError
        assert "--name" in caught.value.hint
        with Study(study.folder, "another").writing():
            pass
    finally:
        other.kill()
        other.communicate()
    assert not study.being_written(), "killing a process frees its lock"
    with study.writing():
        assert study.being_written()
    assert not study.being_written()


def test_a_reader_does_not_block_a_writer(study: Study) -> None:
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            study.being_written()

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _ in range(20):
            with study.writing():
                assert study.being_written()
    finally:
        stop.set()
        looking.join()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(WorkFailed, match="cannot write"),
        Study(Store(tmp_path / "file" / "results").folder, "a").writing(),
    ):
        raise AssertionError


def test_a_store_of_version_1_is_read() -> None:
    """Version 1 of the format wrote the files in fixtures/store_v1; never change them."""
    assert Store(OLD_STORE).studies() == ["digits-small"]
    study = Store(OLD_STORE).study("digits-small")
    assert study.document()["name"] == "digits-small"
    assert study.spec().space.searched.keys() >= {"filters", "learning_rate"}
    assert len(study.json("provenance.json")["spec_sha256"]) == 64
    assert study.json("live.json") == {"state": "ended"}
    history = study.history()
    assert [record.finished for record in history.trials.values()] == [True] * 5
    assert make_table([row.to_columns() for row in history.rows()], TRIAL_COLUMNS).num_rows == 5
    trials = review.load_trials("digits-small", OLD_STORE)
    assert trials["state"].tolist() == ["COMPLETED", "PRUNED", "COMPLETED", "FAILED", "COMPLETED"]
    assert trials["objective"].dropna().round(6).tolist() == [0.9, 0.79, 0.7, 0.5]
    assert len(review.load_epochs("digits-small", OLD_STORE)) == 7
    winner = review.best("digits-small", OLD_STORE)
    config = review.config_of(winner)
    assert config["batch_size"] == 500
    assert config == json.loads((OLD_STORE / "best_config.json").read_text())
    assert from_trial(study, winner, "old").provenance["objective"] == 0.9
