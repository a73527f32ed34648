"""Results as tables: for notebooks, the command line and the page.

from tune_app import load_trials, load_epochs, best
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from tune_app.datasets.reference import dataset_title
from tune_app.errors import InputError, NotFound, WorkFailed
from tune_app.spaces.catalog import Variables, parse_value
from tune_app.spaces.objective import front, rank
from tune_app.spaces.section import Objective
from tune_app.spaces.variable import GROUPS, Categorical, Config
from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.store.trial_notes import TrialNote, TrialNotes
from tune_app.store.trial_row import TrialState

DEFAULT_STORE = "results"
ENDS = [TrialState.COMPLETED, TrialState.PRUNED, TrialState.CANCELLED, TrialState.RUNNING, TrialState.FAILED]
"""The states in the order in which trials are listed."""
NULLABLE = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
"""Types that keep whole numbers and booleans unchanged if some are absent."""


def default_store() -> str:
    """The store's root: ``TUNE_APP_STORE``, else ``./results``."""
    return os.environ.get("TUNE_APP_STORE", DEFAULT_STORE)


def load_trials(studies: str | Sequence[str] | None = None, store: str | Path | None = None) -> pd.DataFrame:
    """One row per finished trial of one or several studies, with `study` as the first column.

    Columns that only some of the studies have are empty in the others. A column of whole numbers or booleans has
    pandas' nullable type if a value is absent.

    Args:
        studies: a name, several, or None for all.
        store: root of the store; None for the default.

    Raises:
        InputError: there is no such study, or its table cannot be read.
    """
    return _load("trials", studies, store)


def load_epochs(studies: str | Sequence[str] | None = None, store: str | Path | None = None) -> pd.DataFrame:
    """One row per trial and epoch of one or several studies; see `load_trials`."""
    return _load("epochs", studies, store)


def best(study: str, store: str | Path | None = None) -> pd.Series[Any]:
    """The row of the best completed trial of a study; absent values are None.

    Raises:
        WorkFailed: no trial completed, so there is no best one.
    """
    return best_row(Store(store or default_store()).study(study))


def best_row(study: Study) -> pd.Series[Any]:
    """See `best`."""
    ranked = ranked_trials(study)
    if ranked.empty or ranked.iloc[0]["state"] != "COMPLETED":
        raise WorkFailed(
            f"no trial of the study `{study.name}` completed, so it has no best configuration",
            hint=f"`tune-app trials {study.name}` shows what happened",
        )
    return _row(ranked, 0)


def ranked_trials(study: Study) -> pd.DataFrame:
    """All trials of a study: see `ranked`."""
    return ranked(noted_trials(study), study.document()["objective"]["direction"])


def noted_trials(study: Study) -> pd.DataFrame:
    """All trials of a study, with people's notes about them: the columns `star`, `tags` and `note`.

    Tags are one string, separated by commas; `tags` and `note` are None if there are none.
    """
    frame = _frame(table := study.table("trials"))
    return pd.concat([frame, _said(study, table["trial"].to_pylist())], axis=1)


def ranked(trials: pd.DataFrame, direction: str) -> pd.DataFrame:
    """Completed trials first, best first; then the pruned, the cancelled and the failed ones.

    The latter are sorted by epochs, then by objective, best first, then by number.
    """
    states = trials["state"].map(ENDS.index)
    reached = trials["epochs"].where(trials["state"] != TrialState.COMPLETED, 0)
    objective = trials["objective"] * (-1 if direction == "maximize" else 1)
    keys = pd.DataFrame({"state": states, "reached": -reached, "objective": objective, "trial": trials["trial"]})
    return trials.iloc[np.lexsort([keys[name].to_numpy() for name in reversed(keys.columns)])].reset_index(drop=True)


def front_trials(study: Study) -> pd.DataFrame:
    """The Pareto front of a study with that mode, best metric first; empty for any other mode."""
    return front_of(Objective.model_validate(study.document()["objective"]), ranked_trials(study))


def front_of(objective: Objective, trials: pd.DataFrame) -> pd.DataFrame:
    """See `front_trials`; of trials in the order of `ranked`."""
    completed = trials.query("state == 'COMPLETED'")
    if objective.mode != "pareto":
        return completed.head(0)
    rows = [{str(key): value for key, value in row.items()} for row in completed.to_dict(orient="records")]
    return completed.iloc[front(objective, rows)].reset_index(drop=True)


def trial_row(study: Study, number: int | None) -> pd.Series[Any]:
    """The row of trial `number`, or of the best one for None; absent values are None.

    Raises:
        NotFound: no such trial has ended.
        WorkFailed: the best one is requested and no trial completed.
    """
    if number is None:
        return best_row(study)
    table = noted_trials(study)
    found = [position for position, trial in enumerate(table["trial"]) if trial == number]
    if not found:
        ended = f"{table['trial'].min()} to {table['trial'].max()}" if len(table) else "none"
        raise NotFound(f"the study `{study.name}` has no trial {number} that ended", hint=f"its trials: {ended}")
    return _row(table, found[0])


def trial_log(study: Study, number: int) -> str:
    """Name of the log of trial `number` in the store's folder, even while it runs.

    Raises:
        NotFound: there is no such trial, or it printed nothing.
    """
    trials = study.history().trials
    if number not in trials:
        known = f"{min(trials)} to {max(trials)}" if trials else "none"
        raise NotFound(f"the study `{study.name}` has no trial {number}", hint=f"its trials: {known}")
    if study.folder.size(name := study.log(number)) is None:
        raise NotFound(f"trial {number} of `{study.name}` has no log: it printed nothing")
    return name


def is_running(study: Study, number: int) -> bool:
    """Whether trial `number` may still print: a sweep is writing the study, and the trial has not ended for good."""
    return study.being_written() and not study.history().trials[number].finished


def config_of(row: pd.Series[Any], variables: Variables = ()) -> Config:
    """The full configuration of a trial from its row, with plain Python values; missing ones are left out.

    With the task's `variables`, missing values take their defaults (the task got the variable later), and choices of
    several types, which the store keeps as strings, get their types back.
    """
    config: Config = {}
    for name, value in row.items():
        parts = str(name).split("/")
        if parts[0] == "config" and parts[1] in GROUPS and not pd.isna(value):
            config[parts[2]] = value.item() if hasattr(value, "item") else value
    for variable in variables:
        text = config.setdefault(variable.name, variable.default)
        if isinstance(text, str) and isinstance(variable.domain, Categorical) and text not in variable.domain.choices:
            config[variable.name] = parse_value(variable, text)
    return config


def summary(study: Study) -> dict[str, Any]:
    """One study in a few values, for the table of studies."""
    document = study.document()
    objective, metric = document["objective"], document["objective"]["metric"]
    # Without pandas, because a store may hold thousands of studies.
    trials = study.table("trials", ["trial", "state", "objective"]).to_pylist()
    states = Counter(row["state"] for row in trials)
    completed = [row for row in trials if row["state"] == TrialState.COMPLETED]
    best = min(completed, key=lambda row: _place(objective["direction"], row), default=None)
    live = study.json("live.json").get("state", "unknown")
    return {
        "study": study.name,
        "task": document["task"],
        "dataset": dataset_title(document["dataset"]),
        "state": "interrupted" if live == "running" and not study.being_written() else live,
        "trials": f"{len(trials)}/{document['budget']['trials']}",
        **{state.lower(): states[state] for state in ("COMPLETED", "PRUNED", "FAILED")},
        "metric": metric if objective["mode"] != "health" else f"{metric} and health",
        "best": best["objective"] if best else None,
        "best_trial": best["trial"] if best else None,
    }


def _place(direction: str, row: dict[str, Any]) -> tuple[bool, float, int]:
    return rank(direction, float("nan") if row["objective"] is None else row["objective"], row["trial"])


def _load(kind: str, studies: str | Sequence[str] | None, store: str | Path | None) -> pd.DataFrame:
    opened = Store(store or default_store())
    names = opened.studies() if studies is None else [studies] if isinstance(studies, str) else list(studies)
    if not names:
        raise InputError(f"there is no study in {opened.folder.url}", hint="start one with `tune-app run`")
    tables = [opened.study(name).table(kind) for name in names]
    try:
        frame = _frame(pa.concat_tables(tables, promote_options="permissive"))
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # a variable is a string in one study and a number in another
        frame = pd.concat([_frame(table) for table in tables], ignore_index=True)
    if kind == "trials":
        said = [
            _said(opened.study(name), table["trial"].to_pylist()) for name, table in zip(names, tables, strict=True)
        ]
        frame = pd.concat([frame, pd.concat(said, ignore_index=True)], axis=1)
    frame.insert(0, "study", [name for name, table in zip(names, tables, strict=True) for _ in range(len(table))])
    return frame


def _said(study: Study, numbers: Sequence[int]) -> pd.DataFrame:
    """The columns `star`, `tags` and `note` of these trials; empty, with a warning, if the notes are damaged."""
    try:
        notes = TrialNotes(study).read()
    except InputError as error:  # the results are there all the same
        warnings.warn(f"the notes of `{study.name}` cannot be read: {error}", stacklevel=2)
        notes = {}
    said = [notes.get(number, TrialNote()) for number in numbers]
    return pd.DataFrame(
        {
            "star": pd.array([note.star for note in said], dtype=bool),
            "tags": pd.array([", ".join(note.tags) or None for note in said], dtype=object),
            "note": pd.array([note.text or None for note in said], dtype=object),
        }
    )


def _frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    for field in table.schema:
        column = table[field.name]
        if field.type in NULLABLE and column.null_count:
            frame[field.name] = column.to_pandas(types_mapper=NULLABLE.get)
    return frame


def _row(frame: pd.DataFrame, position: int) -> pd.Series[Any]:
    row = frame.iloc[position].astype(object)
    return row.where(row.notna(), None)
