"""Users' notes on trials: a star, tags and a note, stored with the study.

Stored in ``studies/<name>/notes.jsonl``, one line per edit; lines are only appended, so that it stays known who wrote
what. Concurrent edits lose nothing: stars and tags are separate edits, and only someone who has seen a note can replace
it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tune_app.errors import Conflict, InputError
from tune_app.moment import now
from tune_app.store.line_log import LineLog
from tune_app.store.study import Study

TAG = re.compile(r"[\w.:/+-][\w .:/+-]{0,39}")
LONGEST_NOTE = 10_000
"""Characters."""
KINDS = ("star", "tag", "untag", "text")


@dataclass(frozen=True)
class TrialNote:
    """The notes on one trial.

    Attributes:
        text: the note.
        edits: how many times the note was written; a later edit uses it to say which version it has seen.
        by: who wrote the note last.
    """

    star: bool = False
    tags: tuple[str, ...] = ()
    text: str = ""
    edits: int = 0
    by: str | None = None

    def __bool__(self) -> bool:
        return self.star or bool(self.tags) or bool(self.text)


class TrialNotes:
    """The notes of a study; editing does not need the study's lock, so it works while a sweep runs."""

    def __init__(self, study: Study) -> None:
        self._log = LineLog(study.folder, f"{study.base}/notes.jsonl")

    def stamp(self) -> object:
        """Something that differs after each edit."""
        return self._log.stamp()

    def read(self) -> dict[int, TrialNote]:
        """The notes by trial, without trials that have none.

        Raises:
            InputError: the file is damaged.
        """
        return {trial: note for trial, note in _notes(self._log.read(_Edit.of)).items() if note}

    def star(self, trial: int, starred: bool, by: str | None = None) -> None:
        """Star or unstar the trial."""
        self._add({"trial": trial, "star": starred}, by)

    def tag(self, trial: int, tag: str, by: str | None = None) -> None:
        """Add a tag, once.

        Raises:
            InputError: it is not a valid tag.
        """
        if not TAG.fullmatch(tag := tag.strip()):
            raise InputError(
                f"a tag must be 1 to 40 letters, digits, spaces or any of . : / + -, but got `{tag[:80]}`",
                hint="put longer text in the note",
            )
        self._add({"trial": trial, "tag": tag}, by)

    def untag(self, trial: int, tag: str, by: str | None = None) -> None:
        """Remove a tag, if the trial has it."""
        self._add({"trial": trial, "untag": tag.strip()}, by)

    def write(self, trial: int, text: str, seen: int, by: str | None = None) -> None:
        """Replace the note.

        Args:
            seen: `TrialNote.edits` of the note that the author has seen.

        Raises:
            InputError: the text is too long.
            Conflict: someone wrote another note meanwhile.
        """
        if len(text) > LONGEST_NOTE:
            raise InputError(f"a note must have at most {LONGEST_NOTE:,} characters, but got {len(text):,}")
        self._add({"trial": trial, "text": text}, by, seen)

    def _add(self, edit: Mapping[str, Any], by: str | None, seen: int | None = None) -> None:
        """Add one edit to the file."""

        def check(edits: list[_Edit]) -> None:
            note = _notes(edits).get(edit["trial"], TrialNote())
            if seen is not None and note.edits != seen:
                raise Conflict(
                    f"the note of trial {edit['trial']} has changed since you read it: {note.by or 'someone'} wrote "
                    f"`{note.text[:80]}`",
                    hint="nothing was overwritten; read it and save again",
                )

        self._log.add({"at": now(), "by": by, **edit}, _Edit.of, check)


@dataclass(frozen=True)
class _Edit:
    """A line of the file: an edit of the star, a tag or the text of `trial`."""

    trial: int
    kind: str
    value: Any
    by: str | None

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> _Edit:
        kind = next(kind for kind in (*KINDS, "") if kind in line or not kind)
        return cls(int(line["trial"]), kind, line[kind], line.get("by"))


def _notes(edits: Sequence[_Edit]) -> dict[int, TrialNote]:
    notes: dict[int, TrialNote] = {}
    for edit in edits:
        notes[edit.trial] = _edited(notes.get(edit.trial, TrialNote()), edit)
    return notes


def _edited(note: TrialNote, edit: _Edit) -> TrialNote:
    match edit.kind:
        case "star":
            return replace(note, star=bool(edit.value))
        case "tag":
            return replace(note, tags=tuple(dict.fromkeys([*note.tags, str(edit.value)])))
        case "untag":
            return replace(note, tags=tuple(tag for tag in note.tags if tag != edit.value))
    return replace(note, text=str(edit.value), edits=note.edits + 1, by=edit.by)
