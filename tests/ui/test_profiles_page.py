"""The Profiles page: list, open, compare, history and restore, rename, delete, the session, validity."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tune_app.profiles.profile import from_trial
from tune_app.profiles.profiles import Profiles
from tune_app.results.review import trial_row

UI = Path(__file__).parents[2] / "ui"
SCRIPT = f"""
import sys
sys.path.insert(0, {str(UI)!r})
import profiles_page
profiles_page.show()
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, make_study: Any) -> Any:
    return make_study(tmp_path_factory.mktemp("profiles") / "results")


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, results: Any) -> Profiles:
    """`best` with two revisions, and `other`."""
    monkeypatch.setenv("TUNE_APP_PROFILES", str(tmp_path / "profiles"))
    opened = Profiles()
    first = opened.save(from_trial(results, trial_row(results, None), "best"), loaded_revision=0)
    opened.save(replace(first.edited({"training.learning_rate": "0.02"}), note="Slower."), loaded_revision=1)
    opened.save(from_trial(results, trial_row(results, 2), "other"), loaded_revision=0)
    return opened


@pytest.fixture
def page(profiles: Profiles) -> AppTest:
    return clean(AppTest.from_string(SCRIPT, default_timeout=60).run())


def clean(page: AppTest) -> AppTest:
    """The page, after a check that its run raised no exception."""
    assert not page.exception, page.exception
    return page


def texts(page: AppTest) -> str:
    """All text on the page."""
    kinds = (page.markdown, page.caption, page.error, page.warning, page.success, page.info)
    return "\n".join(element.value for kind in kinds for element in kind)


def press(page: AppTest, label: str) -> AppTest:
    return clean(next(button for button in page.button if button.label == label).click().run())


def test_a_variable_without_an_effect_shows_no_value(page: AppTest, profiles: Profiles) -> None:
    assert "`momentum` 0.9" in texts(page), "sgd has a momentum"
    profiles.save(profiles.load("best").edited({"training.optimizer": "adamw"}), loaded_revision=2)
    assert "`momentum` :gray[no effect]" in texts(clean(page.run()))


def test_the_list_shows_which_profiles_are_valid_and_current(page: AppTest, profiles: Profiles) -> None:
    assert "No current configuration: nothing has been applied yet" in texts(page)
    press(page, "Apply")
    table = page.dataframe[0].value
    assert list(table["Profile"]) == ["best", "other"]
    assert list(table["Current"]) == ["yes", ""]
    assert list(table["Valid"]) == ["yes", "yes"]
    assert list(table["Revision"]) == ["2", "1"]
    assert list(table["Objective"]) == ["unknown", "70%"], "an edited profile was never measured"
    assert "**Current configuration**: **best**, from trial 0 of digits-small" in texts(page)
    assert profiles.session().config == profiles.load("best").config


def test_an_open_profile_shows_every_value_and_the_edits(page: AppTest, profiles: Profiles) -> None:
    shown = texts(page)
    assert all(f"`{name}`" in shown for name in profiles.load("best").config)
    assert "`learning_rate` 0.02 (found " in shown
    assert "Slower." in shown


def test_compare_any_two(page: AppTest) -> None:
    page.selectbox(key="compare_old").set_value("best@1")
    clean(page.selectbox(key="compare_new").set_value("best").run())
    assert list(page.table[0].value.index) == ["training.learning_rate"]
    clean(page.selectbox(key="compare_new").set_value("best@1").run())
    assert "No difference in any value." in texts(page)


def test_restore_saves_an_old_revision_as_a_new_one(page: AppTest, profiles: Profiles) -> None:
    clean(page.button(key="restore best 1").click().run())
    assert profiles.revisions("best") == [1, 2, 3]
    assert profiles.load("best").config == profiles.load("best", 1).config
    assert "restored as revision 3" in texts(page)


def test_a_newer_revision_by_someone_else_is_neither_replaced_nor_deleted(page: AppTest, profiles: Profiles) -> None:
    newer = profiles.save(profiles.load("best").edited({"training.batch_size": 64}), loaded_revision=2)
    # The buttons in the browser still refer to revision 2.
    clean(page.button(key="restore best 1").click().run())
    assert "is at revision 3, but revision 2 was loaded" in page.error[0].value
    newer = profiles.save(newer.edited({"training.batch_size": 32}), loaded_revision=3)
    clean(page.button(key="delete best").click().run())
    assert "is at revision 4, but revision 3 was loaded" in page.error[0].value
    assert profiles.load("best") == newer


def test_rename_and_a_rejected_rename(page: AppTest, profiles: Profiles) -> None:
    clean(page.text_input(key="rename best").set_value("other").run())
    press(page, "Rename")
    assert "a profile has the name `other`" in texts(page)
    clean(page.text_input(key="rename best").set_value("better").run())
    press(page, "Rename")
    assert profiles.names() == ["better", "other"]
    assert profiles.revisions("better") == [1, 2]
    assert page.selectbox(key="profile_open").value == "better"


def test_delete_asks_first(page: AppTest, profiles: Profiles) -> None:
    assert "Delete **best** (revision 2)? Its revisions stay in the history." in texts(page)
    clean(page.button(key="delete best").click().run())
    assert profiles.names() == ["other"]
    assert profiles.load("best", 2).note == "Slower."


def test_a_profile_that_is_no_longer_valid(page: AppTest, profiles: Profiles) -> None:
    path = profiles.folder / "best.yaml"
    path.write_text(path.read_text().replace("filters: ", "filters: 9999 #"))
    clean(page.run())
    assert list(page.dataframe[0].value["Valid"]) == ["yes", "no"]
    assert "`filters` must be a whole number" in texts(page)
    clean(page.button(key="restore best 1").click().run())
    assert list(page.dataframe[0].value["Valid"]) == ["yes", "yes"]


def test_no_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_APP_PROFILES", str(tmp_path / "none"))
    page = clean(AppTest.from_string(SCRIPT, default_timeout=60).run())
    assert "There are no profiles in" in page.info[0].value
