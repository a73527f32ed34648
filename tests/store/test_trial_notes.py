"""Stars, tags, and notes of trials: edits are only appended, and two editors lose nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tune_app.errors import Conflict, InputError
from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.store.trial_notes import LONGEST_NOTE, TrialNote, TrialNotes


@pytest.fixture
def notes(tmp_path: Path) -> TrialNotes:
    return TrialNotes(Study(Store(tmp_path).folder, "digits"))


def test_edits_add_up(notes: TrialNotes) -> None:
    assert notes.read() == {}
    before = notes.stamp()
    notes.star(3, True)
    notes.tag(3, "to check", "ada")
    notes.tag(3, "to check")
    notes.tag(3, "run:2")
    notes.untag(3, "to check")
    notes.write(3, "café\nsecond line", seen=0, by="ada")
    notes.tag(5, "baseline")
    assert notes.read() == {
        3: TrialNote(True, ("run:2",), "café\nsecond line", edits=1, by="ada"),
        5: TrialNote(tags=("baseline",)),
    }
    assert notes.stamp() != before
    notes.untag(5, "baseline")
    assert 5 not in notes.read(), "it has no stars, tags, or note any more"


def test_only_an_editor_who_has_seen_a_note_can_replace_it(notes: TrialNotes) -> None:
    notes.write(1, "mine", seen=0, by="ada")
    with pytest.raises(Conflict, match="the note of trial 1 has changed since you read it: ada wrote `mine`"):
        notes.write(1, "yours", seen=0, by="ben")
    notes.write(1, "both", seen=1, by="ben")
    assert notes.read()[1] == TrialNote(text="both", edits=2, by="ben")


def test_two_concurrent_editors_lose_nothing(tmp_path: Path, s3_url: str) -> None:
    for root in (str(tmp_path / "here"), s3_url):

        def edit(editor: int, root: str = root) -> None:
            own = TrialNotes(Study(Store(root).folder, "digits"))
            for number in range(5):
                own.tag(0, f"{editor}-{number}")

        editors = [threading.Thread(target=edit, args=(editor,)) for editor in range(2)]
        for editor in editors:
            editor.start()
        for editor in editors:
            editor.join()
        found = TrialNotes(Study(Store(root).folder, "digits")).read()[0].tags
        assert sorted(found) == [f"{editor}-{number}" for editor in range(2) for number in range(5)]


@pytest.mark.parametrize("tag", ["", "a,b", " ", "x" * 41, "line\nbreak", "`"])
def test_invalid_tags(notes: TrialNotes, tag: str) -> None:
    with pytest.raises(InputError, match="a tag must be 1 to 40 letters"):
        notes.tag(0, tag)


def test_a_note_has_a_maximum_length(notes: TrialNotes) -> None:
    with pytest.raises(InputError, match="at most 10,000 characters, but got 10,001"):
        notes.write(0, "x" * (LONGEST_NOTE + 1), seen=0)


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"star": true}', b'{"trial": 1}'])
def test_a_damaged_line_is_reported_with_its_place(tmp_path: Path, notes: TrialNotes, line: bytes) -> None:
    notes.star(0, True)
    with (tmp_path / "studies/digits/notes.jsonl").open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(InputError, match="a line must be a JSON object in this file") as caught:
        notes.read()
    assert caught.value.where.endswith("notes.jsonl:2")


def test_they_appear_in_the_tables(tmp_path: Path, make_study: Callable[..., Study]) -> None:
    from tune_app.results.review import load_trials, trial_row
    from tune_app.results.selection import Selection

    study = make_study(tmp_path)
    own = TrialNotes(study)
    own.star(2, True)
    own.tag(2, "a")
    own.tag(2, "b")
    own.write(4, "Look at the loss", seen=0)
    table = load_trials(study.name, tmp_path).set_index("trial")
    assert table["star"].tolist() == [False, False, True, False, False]
    assert table["tags"].dropna().to_dict() == {2: "a, b"}
    assert table["note"].dropna().to_dict() == {4: "Look at the loss"}
    assert trial_row(study, 2)["tags"] == "a, b"
    rows = table.reset_index()
    for selection, numbers in (
        (Selection(starred=True), [2]),
        (Selection(tags=["b", "c"]), [2]),
        (Selection(tags=["c"]), []),
        (Selection(text="at the LOSS"), [4]),
    ):
        assert selection.of(rows)["trial"].tolist() == numbers
        again = Selection.from_text(selection.to_text(), rows)
        assert again.to_text() == selection.to_text()
