"""Which values of a configuration have an effect: those of variables whose condition holds."""

from __future__ import annotations

import pandas as pd

from tune_app.results.review import config_of
from tune_app.spaces.space import Space


def effective(trials: pd.DataFrame, space: Space) -> pd.DataFrame:
    """The trials with no value wherever a variable has no effect; whole numbers and truth values stay what they are."""
    shown = trials.copy()
    for name in space.when:
        column = space.by_name[name].column
        if column not in shown:
            continue
        values = shown[column]
        if pd.api.types.is_bool_dtype(values):
            values = values.astype("boolean")
        elif pd.api.types.is_integer_dtype(values):
            values = values.astype("Int64")
        shown[column] = values.where(_active(name, trials, space))
    return shown


def _active(name: str, trials: pd.DataFrame, space: Space) -> pd.Series[bool]:
    """In which trials the variable has an effect; worked out once for each combination of the values that decide it."""
    columns = [space.by_name[read].column for read in sorted(space.deciding(name))]
    keys = trials[columns].astype(object).apply(tuple, axis=1)
    first = trials[~keys.duplicated()]
    held = {
        key: space.active(name, config_of(row, space.variables))
        for key, (_, row) in zip(keys[first.index], first.iterrows(), strict=True)
    }
    return keys.map(held).astype(bool)
