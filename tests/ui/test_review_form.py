"""The Review page: its form shows the true values, names what is wrong, and overwrites nothing silently."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tune_app.profiles.profile import from_trial
from tune_app.profiles.profiles import Profiles
from tune_app.results.review import trial_row
from tune_app.spaces.variable import GROUPS
from tune_app.store.store import Store
from tune_app.store.study import Study

UI = Path(__file__).parents[2] / "ui"
SCRIPT = f"""
import sys
sys.path.insert(0, {str(UI)!r})
from sources import choose_study
from drafts import show_unsaved
import review_form
choose_study()
show_unsaved()
review_form.show()
"""
SUBJECT = "digits-small · trial 0"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, make_study: Any, make_spec: Any) -> Path:
    root = tmp_path_factory.mktemp("review") / "results"
    make_study(root, replace(make_spec(), name="all-failed"), ends=("FAILED", "FAILED"))
    make_study(root)
    return root


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, results: Path) -> Profiles:
    monkeypatch.setenv("TUNE_APP_STORE", str(results))
    monkeypatch.setenv("TUNE_APP_PROFILES", str(tmp_path / "profiles"))
    return Profiles()


@pytest.fixture
def page(profiles: Profiles) -> AppTest:
    """The Review page, showing the best trial of `digits-small`."""
    page = AppTest.from_string(SCRIPT, default_timeout=60)
    page.session_state["study"] = "digits-small"
    return clean(page.run())


def clean(page: AppTest) -> AppTest:
    """The page, after a check that its run raised no exception."""
    assert not page.exception, page.exception
    return page


def texts(page: AppTest) -> str:
    """All text on the page."""
    kinds = (page.markdown, page.caption, page.error, page.warning, page.success, page.info)
    return "\n".join(element.value for kind in kinds for element in kind)


def widget(page: AppTest, kind: str, name: str) -> Any:
    return getattr(page, kind)(key=f"{SUBJECT} | {name}")


def press(page: AppTest, name: str) -> AppTest:
    return clean(page.button(key=f"{SUBJECT} | {name}").click().run())


def edit_rate(page: AppTest, text: str) -> AppTest:
    return clean(widget(page, "text_input", "learning_rate").set_value(text).run())


@pytest.fixture
def study(results: Path) -> Study:
    return Store(results).study("digits-small")


def test_the_best_trial_is_shown_with_every_variable(page: AppTest, study: Study) -> None:
    assert "the best" in next(box for box in page.selectbox if box.label == "Trial").options[0]
    assert [tab.label for tab in page.tabs[:4]] == [group.capitalize() for group in GROUPS]
    found = from_trial(study, trial_row(study, None), "x").config
    shown = [*page.text_input, *page.number_input, *page.selectbox, *page.toggle]
    entered = {w.key.split(" | ")[1]: w.value for w in shown if w.key and w.key.startswith(SUBJECT)}
    for name, value in found.items():
        assert float(entered[name]) == value if isinstance(value, float) else entered[name] == value
    assert "No changes yet." in texts(page)
    assert "A number from" in texts(page)
    assert "Searched\\: a number from 0.0001 to 0.1" in texts(page)


def test_a_switch_reads_yes_or_no(page: AppTest) -> None:
    said = texts(page)
    assert "Yes or no." in said
    assert "True, False" not in said


def test_variables_without_an_effect_are_disabled(page: AppTest) -> None:
    assert widget(page, "number_input", "dense_width").disabled is False
    widget(page, "number_input", "dense_layers").set_value(0)
    clean(page.run())
    assert widget(page, "number_input", "dense_width").disabled is True
    assert "has no effect now] only if `dense_layers > 0`" in texts(page)


def test_an_invalid_value_and_a_broken_constraint_are_named_and_cannot_be_saved(page: AppTest) -> None:
    edit_rate(page, "fast")
    assert "`learning_rate` must be a number from" in texts(page)
    assert "cannot apply, save or train this yet" in page.error[0].value
    assert not any("apply" in (button.key or "") for button in page.button)
    edit_rate(page, "1e-3")
    assert not page.error
    widget(page, "number_input", "conv_layers").set_value(2)
    widget(page, "number_input", "filters").set_value(4)
    clean(page.run())
    assert "filters \\* conv" not in texts(page)
    assert "the constraint `filters * conv_layers <= 6` must hold" in texts(page)


def test_changes_are_marked_and_can_be_reset(page: AppTest) -> None:
    before = widget(page, "text_input", "learning_rate").value
    edit_rate(page, "2e-2")
    assert ":orange-badge[" in texts(page)
    assert "**1 changed**" in texts(page)
    assert "Unsaved edits: **digits-small · trial 0**" in page.sidebar.warning[0].value
    press(page, "reset learning_rate")
    assert widget(page, "text_input", "learning_rate").value == before
    assert not page.sidebar.warning
    edit_rate(page, "2e-2")
    widget(page, "text_area", "the note").set_value("Slower.")
    clean(page.run())
    press(page, "reset all")
    assert "No changes yet." in texts(page)
    assert widget(page, "text_area", "the note").value == ""


def test_the_sidebar_discards_unsaved_edits(page: AppTest) -> None:
    before = widget(page, "text_input", "learning_rate").value
    edit_rate(page, "2e-2")
    clean(page.sidebar.button[0].click().run())
    assert not page.sidebar.warning
    assert widget(page, "text_input", "learning_rate").value == before


def test_another_trial_has_its_own_edits(page: AppTest) -> None:
    edit_rate(page, "2e-2")
    trial = next(box for box in page.selectbox if box.label == "Trial")
    clean(trial.set_value(2).run())
    assert "No changes yet." in texts(page)
    assert page.text_input(key="digits-small · trial 2 | learning_rate").value != "2e-2"
    clean(next(box for box in page.selectbox if box.label == "Trial").set_value(0).run())
    assert widget(page, "text_input", "learning_rate").value == "2e-2"


def test_apply(page: AppTest, profiles: Profiles) -> None:
    edit_rate(page, "2e-2")
    press(page, "apply")
    assert profiles.session().config["learning_rate"] == 0.02
    assert not page.sidebar.warning
    assert "is now the current configuration" in texts(page)


def save_new(page: AppTest, name: str) -> AppTest:
    clean(widget(page, "text_input", "new name").set_value(name).run())
    return press(page, "save new")


def test_save_keeps_the_found_values_and_the_note(page: AppTest, profiles: Profiles, study: Study) -> None:
    found = from_trial(study, trial_row(study, None), "x").config
    edit_rate(page, "2e-2")
    widget(page, "text_area", "the note").set_value("Slower.")
    save_new(page, "mine")
    saved = profiles.load("mine")
    assert saved.config == {**found, "learning_rate": 0.02}
    edited = {"found": found["learning_rate"], "saved": 0.02}
    assert saved.provenance["edited"] == {"training.learning_rate": edited}
    assert (saved.note, saved.revision) == ("Slower.", 1)
    assert "Saved **mine**, revision 1." in texts(page)
    assert not page.sidebar.warning


def test_a_new_profile_does_not_overwrite_an_existing_name(page: AppTest, profiles: Profiles, study: Study) -> None:
    profiles.save(from_trial(study, trial_row(study, 2), "mine"), loaded_revision=0)
    clean(page.run())
    clean(widget(page, "text_input", "new name").set_value("mine").run())
    assert "The profile **mine** already exists" in texts(page)
    assert page.button(key=f"{SUBJECT} | save new").disabled


def test_an_invalid_name_is_rejected(page: AppTest, profiles: Profiles) -> None:
    clean(widget(page, "text_input", "new name").set_value("My best!").run())
    assert "a profile's name must be 1 to 64 lowercase letters" in texts(page)
    assert "`my-best` is valid" in texts(page)
    assert page.button(key=f"{SUBJECT} | save new").disabled
    assert profiles.names() == []


def test_after_the_first_save_the_next_one_is_a_revision(page: AppTest, profiles: Profiles) -> None:
    save_new(page, "mine")
    assert not any("already exists" in warning.value for warning in page.warning)
    edit_rate(page, "2e-2")
    press(page, "save existing")
    assert profiles.revisions("mine") == [1, 2]


def test_saving_to_an_existing_profile_shows_the_difference_and_loses_no_update(
    page: AppTest, profiles: Profiles, study: Study
) -> None:
    first = profiles.save(from_trial(study, trial_row(study, None), "mine"), loaded_revision=0)
    clean(page.run())
    clean(widget(page, "radio", "target").set_value("An existing one").run())
    assert widget(page, "selectbox", "existing").value is None, "no profile is preselected"
    clean(widget(page, "selectbox", "existing").set_value("mine").run())
    assert "The same values as revision 1 of mine." in texts(page)
    edit_rate(page, "2e-2")
    assert "Changes revision 1 of **mine**:\n\n- `training.learning_rate`" in texts(page)
    profiles.save(first.edited({"architecture.filters": 2, "training.learning_rate": "0.05"}), loaded_revision=1)
    press(page, "save existing")
    assert profiles.load("mine").revision == 2
    assert "has changed: you looked at revision 1, and revision 2 is now current" in texts(page)
    assert "Yours would change in revision 2" in texts(page)
    profiles.save(profiles.load("mine"), loaded_revision=2)
    press(page, "save on top")  # on top of revision 2, which is no longer the latest
    assert profiles.revisions("mine") == [1, 2, 3]
    press(page, "save on top")
    assert profiles.revisions("mine") == [1, 2, 3, 4]
    assert profiles.load("mine").config["learning_rate"] == 0.02


def test_a_profile_is_edited_and_saved_under_its_name(page: AppTest, profiles: Profiles, study: Study) -> None:
    profiles.save(from_trial(study, trial_row(study, None), "mine"), loaded_revision=0)
    page.session_state["review_source"] = "A profile"
    clean(page.run())
    clean(page.text_input(key="profile mine | learning_rate").set_value("3e-2").run())
    clean(page.button(key="profile mine | save existing").click().run())
    assert profiles.load("mine").config["learning_rate"] == 0.03
    assert "No changes yet." in texts(page)


def test_changes_by_two_people_are_merged(page: AppTest, profiles: Profiles, study: Study) -> None:
    first = profiles.save(from_trial(study, trial_row(study, None), "mine"), loaded_revision=0)
    page.session_state["review_source"] = "A profile"
    clean(page.run())
    clean(page.text_input(key="profile mine | learning_rate").set_value("3e-2").run())
    profiles.save(replace(first.edited({"training.batch_size": 64}), note="Theirs."), loaded_revision=1)
    clean(page.run())
    assert "**mine** has changed: revision 1 was loaded" in texts(page)
    assert "- `training.batch_size`: `500` → `64`" in texts(page)
    clean(page.button(key="profile mine | save on top").click().run())
    saved = profiles.load("mine")
    assert saved.config == {**first.config, "learning_rate": 0.03, "batch_size": 64}
    assert saved.note == "Theirs."
    assert set(saved.provenance["edited"]) == {"training.learning_rate", "training.batch_size"}


def test_training_starts_a_job(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:1")  # nothing listens there
    edit_rate(page, "2e-2")
    press(page, "train")
    jobs = page.session_state["training_jobs"]
    assert jobs == {SUBJECT: "train-digits-small-0-1"}
    for _ in range(50):
        clean(page.run())
        if page.error:
            break
    assert "no job server answers at `http://127.0.0.1:1`" in page.error[0].value


def test_a_study_in_which_nothing_completed(page: AppTest) -> None:
    clean(page.sidebar.selectbox[0].set_value("all-failed").run())
    assert "No trial of this study completed" in page.warning[0].value


def test_a_study_in_which_nothing_has_ended_is_followed(
    page: AppTest, make_study: Any, make_spec: Any, results: Path
) -> None:
    study = make_study(results, replace(make_spec(), name="not-begun"), ends=())
    page.session_state["study_wanted"] = "not-begun"
    with study.writing():
        assert "its results will appear here" in clean(page.run()).info[0].value
    assert "`tune-app resume not-begun` continues" in clean(page.run()).info[0].value


def test_an_empty_store(profiles: Profiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_APP_STORE", str(tmp_path / "empty"))
    page = clean(AppTest.from_string(SCRIPT, default_timeout=60).run())
    assert "There are no studies yet" in page.info[0].value


def test_a_study_that_was_deleted(
    make_study: Callable[..., Study], profiles: Profiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    monkeypatch.setenv("TUNE_APP_STORE", str(tmp_path / "results"))
    make_study(tmp_path / "results")
    page = clean(AppTest.from_string(SCRIPT, default_timeout=60).run())
    shutil.rmtree(tmp_path / "results")
    clean(page.run())
    assert "There are no studies yet" in page.info[0].value
