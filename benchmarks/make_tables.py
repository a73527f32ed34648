"""Tables of learning curves of our own, which `search.py` replays: one Parquet file per search space.

    python benchmarks/make_tables.py NAME … --store FOLDER [--trials N]

A NAME is a search space of `search_spaces/`. Its table is made from the study of that name in the store. If the store
has no such study, it is trained first: N random configurations, each to the end, as

    tune-app run search_spaces/X.yaml --sampler random --pruning off --trials N --seed 1 --no-fuse --store FOLDER

does. `--study` names another study, for one NAME. The tables of this folder are 600 trials of `digits_cnn` (6 minutes
on two cores), 215 of `stdlib_docs_lstm` (10 minutes on two cores) and 199 of `python_reference_gpt` (4 minutes on an
NVIDIA H100, 16 trials in parallel).

A table has one row per trial that completed or diverged:

- ``config/<variable>``: every searched variable; an inactive one has the task's default
- ``objective``: the metric of the search space after each epoch, NaN from the epoch at which the trial diverged
- ``seconds``: from the start of the training to the end of each epoch

Its Parquet metadata holds the search space as it was run (``search_space``, YAML) and the origin of the curves
(``provenance``, JSON: hash of the data set, commit, versions, machine, device, date).

Prints one JSON line per table, with how well the surrogate of `surrogate.py` predicts a fifth of the trials from the
others: the explained share of the variance of the final value (`r2`), and the rank correlations with the true values at
the end and in the first quarter of the epochs (`rank`, `early_rank`). A surrogate that flattens the best would predict
the best tenth as far worse than it is (`best_tenth`, `best_tenth_predicted`) and would know no configuration as good as
the best (`best`, `best_predicted`, of 2,000 random ones).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from curves import OwnTable, read_table
from scipy.stats import spearmanr
from surrogate import Surrogate

from tune_app.spaces.feasibility import sample
from tune_app.store.columns import column_types
from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.tasks.spec_file import load_spec

ROOT = Path(__file__).resolve().parents[1]
TABLES = Path(__file__).resolve().parent / "tables"


def main() -> None:
    """Make the table of each named search space."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--first", type=int, help="use only this many trials, if later ones ran on a busy machine")
    parser.add_argument("--study", help="its name in the store; default: that of the search space")
    given = parser.parse_args()
    TABLES.mkdir(exist_ok=True)
    for name in given.names:
        space_file = ROOT / "search_spaces" / f"{name}.yaml"
        study = Store(given.store).study(given.study or load_spec(space_file).name)
        if not study.exists():
            train(space_file, study.name, given.store, given.trials)
        table, path = table_of(study).slice(0, given.first), TABLES / f"{name}.parquet"
        pq.write_table(table, path, compression="zstd")
        facts = {"table": path.name, "rows": len(table), "bytes": path.stat().st_size}
        print(json.dumps({**facts, **quality(path)}), flush=True)


def train(space_file: Path, study: str, store: Path, trials: int) -> None:
    """Train random configurations to the end, without stopping any early."""
    command = [sys.executable, "-m", "tune_app", "run", str(space_file), "--name", study, "--store", str(store)]
    settings = ["--sampler", "random", "--pruning", "off", "--trials", str(trials), "--seed", "1", "--no-fuse"]
    subprocess.run([*command, *settings], check=True)


def table_of(study: Study) -> pa.Table:
    """The trials of a study that completed or diverged, with their curves."""
    spec = study.spec()
    trials = study.table("trials")
    ended = pc.or_(pc.equal(trials["state"], "COMPLETED"), pc.equal(trials["failure_kind"].fill_null(""), "diverged"))
    trials = trials.filter(ended).sort_by("trial")
    epochs = study.table("epochs").sort_by([("trial", "ascending"), ("epoch", "ascending")])
    values, seconds = curves_of(epochs, f"metric/{spec.objective.metric}", spec.budget.epochs, trials["trial"])
    searched = [variable for variable in spec.space.variables if variable.name in spec.space.searched]
    columns: dict[str, Any] = {
        f"config/{variable.name}": trials[variable.column].cast(column_types([variable])[variable.column])
        for variable in searched
    }
    columns["objective"] = pa.array(list(values), pa.list_(pa.float32()))
    columns["seconds"] = pa.array(list(seconds), pa.list_(pa.float32()))
    provenance = study.json("provenance.json")
    source = {key: provenance[key] for key in ("dataset_sha256", "code", "machine")}
    source["device"] = trials["device"][0].as_py()
    source["date"] = trials["ended_at"][-1].as_py().date().isoformat()
    return pa.table(columns, metadata={"search_space": spec.to_yaml(), "provenance": json.dumps(source)})


def curves_of(epochs: pa.Table, metric: str, count: int, trials: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Values and cumulative seconds, each (trials, `count`); epochs that were not trained have NaN and no length."""
    place = {trial: row for row, trial in enumerate(trials.to_pylist())}
    values, steps = np.full((len(place), count), np.nan), np.zeros((len(place), count))
    columns = [epochs[name].to_pylist() for name in ("trial", "epoch", metric, "duration_s")]
    for trial, epoch, value, step in zip(*columns, strict=True):
        if trial in place:
            values[place[trial], epoch - 1] = np.nan if value is None else value
            steps[place[trial], epoch - 1] = step
    return values, np.cumsum(steps, 1)


def quality(path: Path) -> dict[str, float]:
    """How well a table's surrogate predicts unseen trials; see the top of this file."""
    spec, configs, values, seconds = read_table(path)
    share, silent = spec.objective.direction == "maximize", np.zeros(1 + spec.budget.epochs)
    whole = np.flatnonzero(np.isfinite(values).all(1))
    values, seconds = values[whole], seconds[whole]
    fold = np.random.default_rng(0).permutation(len(whole)) % 5
    predicted = np.empty_like(values)
    for held in range(5):
        known = np.flatnonzero(fold != held)
        known_configs = [configs[whole[row]] for row in known]
        surrogate = Surrogate(spec.space, known_configs, values[known], seconds[known], share)
        for row in np.flatnonzero(fold == held):
            predicted[row] = surrogate.predict(configs[whole[row]], silent).values
    ranks = [spearmanr(values[:, epoch], predicted[:, epoch]).statistic for epoch in range(values.shape[1])]
    end, top = values[:, -1], np.argsort(values[:, -1])[: len(values) // 10]
    source, rng = OwnTable(path, 0), np.random.default_rng(0)
    found = {
        "r2": 1 - ((end - predicted[:, -1]) ** 2).sum() / ((end - end.mean()) ** 2).sum(),
        "rank": ranks[-1],
        "early_rank": np.mean(ranks[: len(ranks) // 4]),
        "best_tenth": end[top].mean(),
        "best_tenth_predicted": predicted[top, -1].mean(),
        "best": end.min(),
        "best_predicted": min(source.curve(sample(spec.space, rng)).truth for _ in range(2000)),
    }
    return {name: round(float(figure), 4) for name, figure in found.items()}


if __name__ == "__main__":
    main()
