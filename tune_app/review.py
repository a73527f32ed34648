"""Results as tables: for notebooks, the command line and the page.

    from tune_app.review import load_trials, load_epochs, best
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tune_app.errors import InputError, WorkFailed
from tune_app.store import Store, Study
from tune_app.variable import GROUPS, Config

DEFAULT_STORE = "results"


def default_store() -> str:
    """The store's root: ``TUNE_APP_STORE``, else ``./results``."""
    return os.environ.get("TUNE_APP_STORE", DEFAULT_STORE)


def load_trials(studies: str | Sequence[str] | None = None, store: str | Path | None = None) -> pd.DataFrame:
    """One row per finished trial of one or several studies, with a column `study` in front.

    Columns that only some of the studies have are empty in the others.

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
    """The row of the best completed trial of a study.

    Raises:
        WorkFailed: nothing completed, so there is no best one.
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
    return ranked.iloc[0]


def ranked_trials(study: Study) -> pd.DataFrame:
    """All trials of a study: completed ones first and best first, then the others by number."""
    table = study.table("trials").to_pandas()
    ascending = study.document()["objective"]["direction"] == "minimize"
    completed = table[table["state"] == "COMPLETED"].sort_values(
        ["objective", "trial"], ascending=[ascending, True], kind="stable"
    )
    others = table[table["state"] != "COMPLETED"].sort_values("trial")
    return pd.concat([completed, others], ignore_index=True)


def trial_row(study: Study, number: int | None) -> pd.Series[Any]:
    """The row of trial `number`; of the best one for None.

    Raises:
        InputError: no such trial has ended.
        WorkFailed: the best one is wanted and nothing completed.
    """
    if number is None:
        return best_row(study)
    table = study.table("trials").to_pandas()
    found = table[table["trial"] == number]
    if found.empty:
        ended = f"{table['trial'].min()} to {table['trial'].max()}" if len(table) else "none"
        raise InputError(
            f"the study `{study.name}` has no trial {number} that ended", hint=f"its trials: {ended}"
        )
    return found.iloc[0]


def config_of(row: pd.Series[Any]) -> Config:
    """The full configuration of a trial from its row, with plain Python values."""
    config: Config = {}
    for name, value in row.items():
        parts = str(name).split("/")
        if parts[0] == "config" and parts[1] in GROUPS:
            config[parts[2]] = value.item() if hasattr(value, "item") else value
    return config


def summary(study: Study) -> dict[str, Any]:
    """One study in a few values, for the table of studies."""
    document = study.document()
    trials = study.table("trials").to_pandas()
    ranked = ranked_trials(study)
    won = not ranked.empty and ranked.iloc[0]["state"] == "COMPLETED"
    live = study.json("live.json").get("state", "unknown")
    return {
        "study": study.name,
        "task": document["task"],
        "dataset": document["dataset"],
        "state": "interrupted" if live == "running" and not study.being_written() else live,
        "trials": f"{len(trials)}/{document['budget']['trials']}",
        **{state.lower(): int((trials["state"] == state).sum()) for state in ("COMPLETED", "PRUNED", "FAILED")},
        "metric": document["objective"]["metric"],
        "best": float(ranked.iloc[0]["objective"]) if won else None,
        "best_trial": int(ranked.iloc[0]["trial"]) if won else None,
    }


def _load(kind: str, studies: str | Sequence[str] | None, store: str | Path | None) -> pd.DataFrame:
    opened = Store(store or default_store())
    names = opened.studies() if studies is None else [studies] if isinstance(studies, str) else list(studies)
    frames = []
    for name in names:
        frame = opened.study(name).table(kind).to_pandas()
        frame.insert(0, "study", name)
        frames.append(frame)
    if not frames:
        raise InputError(f"there is no study in {opened.folder.url}", hint="start one with `tune-app run`")
    return pd.concat(frames, ignore_index=True)
