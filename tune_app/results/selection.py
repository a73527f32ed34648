"""A filter over a study's trials, and a side-by-side table of a few of them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from tune_app.errors import InputError

STATES, TEXT, STAR, TAGS = "state", "text", "star", "tags"
"""Names of the conditions of a `Selection` that do not concern a column of choices or numbers."""

MOST_COMPARED = 6
"""More columns than this do not fit next to one another on a laptop's screen."""


@dataclass(frozen=True)
class Selection:
    """The conditions that trials must meet, all of them; empty ones do not count.

    Attributes:
        states: the state is one of these.
        choices: by column, the value, written as a string, is one of these.
        ranges: by column, the lowest and the highest value; None if there is no bound. A trial without a value is
            left out.
        text: occurs in the error, the note or the trial's id, regardless of case.
        starred: has a star.
        tags: has one of these tags.
    """

    states: Collection[str] = ()
    choices: Mapping[str, Collection[str]] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    text: str = ""
    starred: bool = False
    tags: Collection[str] = ()

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
            words = pd.Series("", index=trials.index)
            for column in ("error", "trial_id", "note"):
                if column in trials:
                    words += " " + trials[column].fillna("").astype(str)
            kept &= words.str.contains(self.text, case=False, regex=False)
        if self.starred:
            kept &= trials["star"]
        if self.tags:
            kept &= trials["tags"].map(lambda said: not set(self.tags).isdisjoint(tags_of(said)))
        return trials[kept.astype(bool)]

    def conditions(self) -> list[str]:
        """Names of the nonempty conditions: `STATES`, `TEXT`, and columns."""
        columns = [column for column, texts in self.choices.items() if texts]
        columns += [column for column, bounds in self.ranges.items() if bounds != (None, None)]
        asked = {STAR: self.starred, TAGS: self.tags, TEXT: self.text}
        return [*([STATES] if self.states else []), *columns, *(name for name, value in asked.items() if value)]

    def without(self, condition: str) -> Selection:
        """The same without one of its `conditions`."""
        nothing = Selection()
        if condition == STATES:
            return replace(self, states=nothing.states)
        if condition == TEXT:
            return replace(self, text=nothing.text)
        if condition == STAR:
            return replace(self, starred=nothing.starred)
        if condition == TAGS:
            return replace(self, tags=nothing.tags)
        choices = {column: texts for column, texts in self.choices.items() if column != condition}
        ranges = {column: bounds for column, bounds in self.ranges.items() if column != condition}
        return replace(self, choices=choices, ranges=ranges)

    def emptied_by(self, trials: pd.DataFrame) -> dict[str, int]:
        """For each condition whose removal alone would leave trials, how many it would leave."""
        counts = {condition: len(self.without(condition).of(trials)) for condition in self.conditions()}
        return {condition: count for condition, count in counts.items() if count}

    def to_text(self) -> str:
        """One line that `from_text` reads back, for example for an address; empty without conditions."""
        asked = set(self.conditions())
        parts = {
            "states": sorted(self.states),
            "choices": {c: list(texts) for c, texts in self.choices.items() if c in asked},
            "ranges": {c: list(bounds) for c, bounds in self.ranges.items() if c in asked},
            "text": self.text,
            "starred": self.starred,
            "tags": list(self.tags),
        }
        kept = {name: part for name, part in parts.items() if part}
        return json.dumps(kept, separators=(",", ":"), ensure_ascii=False) if kept else ""

    @classmethod
    def from_text(cls, text: str, trials: pd.DataFrame) -> Selection:
        """Read what `to_text` wrote.

        Args:
            trials: of the study; conditions about missing columns, and ranges of strings, are left out.

        Raises:
            InputError: the text is not a selection.
        """
        try:
            parts, columns = json.loads(text), set(trials.columns)
            numbers = {name for name in columns if pd.api.types.is_numeric_dtype(trials[name])}
            choices = {str(c): [str(t) for t in texts] for c, texts in parts.get("choices", {}).items() if c in columns}
            ranges = {str(c): _bounds(pair) for c, pair in parts.get("ranges", {}).items() if c in numbers}
            states, tags = (tuple(map(str, parts.get(name, []))) for name in ("states", "tags"))
            return cls(states, choices, ranges, str(parts.get("text", "")), bool(parts.get("starred")), tags)
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError(
                f"a filter must be in the form that the page writes to its address, not `{text[:80]}`"
            ) from error


def tags_of(said: object) -> list[str]:
    """The tags in a cell of the column `tags`."""
    return said.split(", ") if isinstance(said, str) else []


def _bounds(pair: Sequence[float | None]) -> tuple[float | None, float | None]:
    low, high = (None if end is None else float(end) for end in pair)
    return low, high


def varying(trials: pd.DataFrame) -> list[str]:
    """The columns in which the trials differ, in their order; an absent value differs from a present one."""
    return [column for column in trials.columns if trials[column].nunique(dropna=False) > 1]


def side_by_side(trials: pd.DataFrame, numbers: Sequence[int]) -> tuple[pd.DataFrame, list[bool]]:
    """The trials of these `numbers` as columns, one row per column of `trials`, and which rows differ.

    Numbers without a trial are left out.
    """
    rows = trials.set_index("trial")
    chosen = rows.loc[[number for number in numbers if number in rows.index]]
    table = chosen.astype(object).where(chosen.notna(), None).T
    different = set(varying(chosen))
    return table, [name in different for name in table.index]
