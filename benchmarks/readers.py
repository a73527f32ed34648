"""What readers see of a study while a sweep writes it: whole, unique rows at every moment, if all is well.

A sweep of 200 small networks runs on this machine. Meanwhile pandas, pyarrow, duckdb and polars, each in a separate
process, read both tables repeatedly. Each trial and epoch must appear once, their number must not fall, a row of
`trials` must not change, and the last read must contain all of them. A reader that is not installed is skipped and
reported.

No read may fail if the reader opens the file once. Given a glob or a path, duckdb and polars open it twice, for its
schema and for its rows: if it is replaced in between, the two do not match. Those reads are counted separately.

    python benchmarks/readers.py [--trials 200]

Prints one JSON line per reader, with its reads, those that failed and what was wrong, and a summary; ends with 1 if
anything was wrong, or a read failed that opens the file once.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SPACE = ROOT / "search_spaces" / "digits_cnn.yaml"
STUDY = "read"
SETTINGS = (
    *("--epochs", "2", "--history", "none", "--name", STUDY, "--no-preflight", "--no-tensorboard"),
    *("--set", "architecture.filters=8", "--set", "architecture.conv_layers=1", "--set", "training.batch_size=128"),
)
COLUMNS = {"trials": ("trial", "state", "objective", "epochs", "ended_at"), "epochs": ("trial", "epoch")}
PAUSE_S = 0.01
"""Between two reads, so that the readers leave the sweep some of the two cores."""

Rows = list[tuple[Any, ...]]


def main() -> None:
    """Sweep, read, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--reader", nargs=2, metavar=("NAME", "STORE"), help="be one of the readers")
    given = parser.parse_args()
    if given.reader is not None:
        print(json.dumps(watch(given.reader[0], Path(given.reader[1]), given.trials)))
        return
    names = [name for name in READERS if importlib.util.find_spec(name.split()[0]) is not None]
    for name in READERS.keys() - names:
        print(json.dumps({"reader": name, "skipped": "it is not installed"}), flush=True)
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="readers-") as store:
        command = [sys.executable, "-m", "tune_app", "run", str(SPACE), *SETTINGS, "--trials", str(given.trials)]
        sweep = subprocess.Popen(
            [*command, "--store", store], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        me = [sys.executable, __file__, "--trials", str(given.trials), "--reader"]
        readers = [subprocess.Popen([*me, name, store], stdout=subprocess.PIPE, text=True) for name in names]
        _, errors = sweep.communicate()
        assert sweep.returncode == 0, errors.decode()
        (Path(store) / "over").touch()
        for reader in readers:
            facts = json.loads(reader.communicate()[0])
            found["reads"] += facts["reads"]
            found["wrong"] += len(facts["wrong"]) + (0 if facts["reader"] in TWICE else len(facts["failed"]))
            found["failed where the file is opened twice"] += len(facts["failed"]) * (facts["reader"] in TWICE)
            print(json.dumps(facts), flush=True)
    print(json.dumps({"summary": dict(found)}))
    sys.exit(1 if found["wrong"] else 0)


def watch(name: str, store: Path, trials: int) -> dict[str, Any]:
    """Read both tables until the sweep is over, and once more; what was wrong, if anything, with its read."""
    read = READERS[name]
    wrong: list[str] = []
    failed: list[str] = []
    reads = 0
    known: dict[str, Rows] = {kind: [] for kind in COLUMNS}
    over = False
    while not over:
        over = (store / "over").exists()
        for kind, columns in COLUMNS.items():
            folder = store / kind / f"study={STUDY}"
            if not folder.exists():
                continue
            reads += 1
            try:
                rows = read(folder, columns)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # catch whatever a reader raises; polars' panics are not an `Exception`
                failed.append(f"read {reads} of {kind}: {type(error).__name__}: {error}"[:200])
                over = False  # the last read must be complete
                continue
            wrong += [f"read {reads} of {kind}: {fault}" for fault in faults(kind, rows, known[kind])]
            known[kind] = rows
        time.sleep(PAUSE_S)
    if len(known["trials"]) != trials:
        wrong.append(f"the last read has {len(known['trials'])} of {trials} trials")
    if len(known["epochs"]) != sum(row[3] for row in known["trials"]):
        wrong.append("the last read of epochs lacks some, or has too many")
    version = importlib.import_module(name.split()[0]).__version__
    return {"reader": name, "version": version, "reads": reads, "failed": failed, "wrong": wrong}


def faults(kind: str, rows: Rows, before: Rows) -> list[str]:
    """What is wrong with these rows, after those of the read before."""
    keys = [row[0] for row in rows] if kind == "trials" else rows
    found = []
    if len(set(keys)) < len(keys):
        found.append("a row is there twice")
    if len(rows) < len(before):
        found.append(f"{len(rows)} rows where there were {len(before)}")
    if lost := set(before) - set(rows):
        found.append(f"{len(lost)} rows are gone or have changed")
    return found


def read_pandas(folder: Path, columns: tuple[str, ...]) -> Rows:
    """As a notebook does."""
    import pandas as pd

    return plain(pd.read_parquet(folder)[list(columns)].itertuples(index=False, name=None))


def read_pyarrow(folder: Path, columns: tuple[str, ...]) -> Rows:
    """As a data set."""
    import pyarrow.dataset as ds

    table = ds.dataset(folder, format="parquet").to_table(columns=list(columns))
    return plain(zip(*[table[name].to_pylist() for name in columns], strict=True))


def read_duckdb(folder: Path, columns: tuple[str, ...]) -> Rows:
    """As SQL over a glob."""
    import duckdb

    query = f"select {', '.join(columns)} from read_parquet('{folder}/*.parquet')"
    return plain(duckdb.sql(query).fetchall())


def read_polars(folder: Path, columns: tuple[str, ...]) -> Rows:
    """As a lazy scan over a glob."""
    import polars as pl

    return plain(pl.scan_parquet(f"{folder}/*.parquet").select(list(columns)).collect().rows())


def read_duckdb_once(folder: Path, columns: tuple[str, ...]) -> Rows:
    """As SQL over pyarrow's data set."""
    import duckdb
    import pyarrow.dataset as ds

    table = ds.dataset(folder, format="parquet")
    return plain(duckdb.from_arrow(table).project(", ".join(columns)).fetchall())


def read_polars_once(folder: Path, columns: tuple[str, ...]) -> Rows:
    """From an open file."""
    import polars as pl

    with (folder / "data.parquet").open("rb") as file:
        return plain(pl.read_parquet(file, columns=list(columns)).select(list(columns)).rows())


def plain(rows: Any) -> Rows:
    """Comparable rows: for some readers a missing objective is NaN, which is not equal to itself."""
    return [tuple(None if value != value else value for value in row) for row in rows]


READERS: dict[str, Callable[[Path, tuple[str, ...]], Rows]] = {
    "pandas": read_pandas,
    "pyarrow": read_pyarrow,
    "duckdb": read_duckdb,
    "polars": read_polars,
    "duckdb by pyarrow": read_duckdb_once,
    "polars by file": read_polars_once,
}
TWICE = ("duckdb", "polars")
"""Readers that open a file twice."""

if __name__ == "__main__":
    main()
