"""Which values of a configuration have an effect: those of variables whose condition holds."""

from __future__ import annotations

from collections.abc import Hashable

import pandas as pd

from tune_app.readable import is_absent
from tune_app.spaces.space import Space


def effective(trials: pd.DataFrame, space: Space) -> pd.DataFrame:
    """The trials without values of variables that have no effect; whole numbers and booleans keep their types."""
    shown = trials.copy()
    for name in space.conditions:
        column = space.by_name[name].column
        if column not in shown:
            continue
        values = shown[column]
        if pd.api.types.is_bool_dtype(values):
            values = values.astype("boolean")
        elif pd.api.types.is_integer_dtype(values):
            values = values.astype("Int64")
        shown[column] = values.where(active_rows(space, trials, name))
    return shown


def active_rows(space: Space, trials: pd.DataFrame, name: str) -> pd.Series[bool]:
    """Whether the variable `name` had an effect in each of the `trials`.

    Conditions read few values, mostly choices, so each combination is evaluated once. Missing values take their
    defaults.
    """
    if name not in space.conditions:
        return pd.Series(True, index=trials.index)
    read = sorted(space.deciding(name))
    known: dict[tuple[Hashable, ...], bool] = {}
    active = []
    for values in trials[[space.by_name[other].column for other in read]].itertuples(index=False, name=None):
        if values not in known:
            told = {other: value for other, value in zip(read, values, strict=True) if not is_absent(value)}
            plain = {other: value.item() if hasattr(value, "item") else value for other, value in told.items()}
            known[values] = space.active(name, {**space.unsearched, **plain})
        active.append(known[values])
    return pd.Series(active, index=trials.index, dtype=bool)
