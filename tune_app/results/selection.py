"""Some of a study's trials, picked by what they are and did, and a few of them side by side."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

MOST_COMPARED = 6
"""More columns than this do not fit beside one another on a laptop's screen."""


@dataclass(frozen=True)
class Selection:
    """What trials must meet, all of it; empty parts ask for nothing.

    Attributes:
        states: the state is one of these.
        choices: by column, the value, written as a text, is one of these.
        ranges: by column, the lowest and the highest value; None where there is no bound. A trial without a value is
            left out.
        text: stands in the error or the trial's id, whatever the case.
    """

    states: Collection[str] = ()
    choices: Mapping[str, Collection[str]] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    text: str = ""

    def of(self, trials: pd.DataFrame) -> pd.DataFrame:
        """The rows of `trials` that meet it, in their order."""
        kept = pd.Series(True, index=trials.index)
        if self.states:
            kept &= trials["state"].isin(list(self.states))
        for column, texts in self.choices.items():
            if texts:
                kept &= trials[column].astype(str).isin(list(texts))
        for column, (low, high) in self.ranges.items():
            values = trials[column].astype("Float64")
            if low is not None:
                kept &= (values >= low).fillna(False).astype(bool)
            if high is not None:
                kept &= (values <= high).fillna(False).astype(bool)
        if self.text:
            words = trials["error"].fillna("").astype(str) + " " + trials["trial_id"].fillna("").astype(str)
            kept &= words.str.contains(self.text, case=False, regex=False)
        return trials[kept]


def varying(trials: pd.DataFrame) -> list[str]:
    """The columns in which the trials differ, in their order; an absent value differs from a present one."""
    return [column for column in trials.columns if trials[column].nunique(dropna=False) > 1]


def side_by_side(trials: pd.DataFrame, numbers: Sequence[int]) -> tuple[pd.DataFrame, list[bool]]:
    """The trials of these `numbers` as columns, one row per column of `trials`, and which rows differ.

    Numbers of trials that are not there are left out.
    """
    rows = trials.set_index("trial")
    chosen = rows.loc[[number for number in numbers if number in rows.index]]
    table = chosen.astype(object).where(chosen.notna(), None).T
    different = set(varying(chosen))
    return table, [name in different for name in table.index]
