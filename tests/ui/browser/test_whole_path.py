"""In a real browser: start a sweep, edit, save and train its winner, and let two people edit one profile."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tune_app.jobs.jobs import Jobs
from tune_app.profiles.profile import from_trial
from tune_app.profiles.profiles import Profiles
from tune_app.results.review import trial_row

SWEEP_MS = 150_000
EDITS = {
    "architecture": ("dropout", "0.125"),
    "training": ("learning_rate", "1.5e-2"),
    "data": ("rotation", "7.5"),
    "inference": ("temperature", "1.25"),
}


pytestmark = pytest.mark.timeout(400)


def part(page: Any, title: str) -> None:
    """Go to another page through the navigation, which keeps the browser's state."""
    # A click as long as a person's: a shorter one may be lost if it blurs a field that then submits its value.
    page.get_by_role("link", name=title).click(delay=150)
    page.get_by_role("heading", name=title, exact=True).wait_for()


def enter(page: Any, name: str, text: str) -> None:
    """Type a value into the field with this name."""
    field = page.get_by_label(name, exact=True)
    field.fill(text)
    field.press("Enter")


def edit(page: Any, group: str, name: str, text: str) -> None:
    page.get_by_role("tab", name=group.capitalize()).click()
    enter(page, name, text)


def test_sweep_review_save_and_train(new_page: Callable[[str], Any], site: Any) -> None:
    page = new_page("sweep")
    enter(page, "Trials", "6")
    page.get_by_role("button", name="Start", exact=True).press("Enter")
    page.get_by_text(re.compile("waiting for Ray|running")).first.wait_for()
    page.get_by_text("Start a sweep").click()
    limit = page.get_by_label("Time limit", exact=True)
    limit.press_sequentially("30")  # typed but not submitted: the refresh must not touch it
    page.get_by_text("6 of 6 trials ended").wait_for(timeout=SWEEP_MS)
    assert limit.input_value() == "30"
    page.get_by_text("digits-page-1 has ended.").wait_for()
    (study,) = [name for name in site.store.studies() if name.startswith("digits-page")]
    best = from_trial(site.store.study(study), trial_row(site.store.study(study), None), "x")

    part(page, "Review")
    page.get_by_text("No changes yet.").wait_for()
    for group, (name, text) in EDITS.items():
        edit(page, group, name, text)
    page.get_by_text("4 changed", exact=True).wait_for()
    edit(page, "training", "learning_rate", "fast")
    page.get_by_text("You cannot apply, save or train this yet").wait_for()
    page.get_by_text("learning_rate must be a number from").nth(1).wait_for()  # at the field and in the summary
    page.get_by_role("button", name="Save", exact=True).wait_for(state="hidden")
    enter(page, "learning_rate", EDITS["training"][1])
    page.get_by_text("You cannot apply, save or train this yet").wait_for(state="hidden")
    part(page, "Profiles")  # the entries are still there on the way back
    page.get_by_text("Unsaved edits").wait_for()
    part(page, "Review")
    page.get_by_text("4 changed", exact=True).wait_for()

    enter(page, "Name of the profile", "winner")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Saved winner, revision 1.").wait_for()
    page.get_by_text("Unsaved edits").wait_for(state="hidden")
    page.get_by_role("button", name="Train with this").click()
    page.get_by_text(re.compile("Job train-.*: done")).wait_for(timeout=SWEEP_MS)

    page.get_by_text("epoch 2 of 2").wait_for()

    edited = {name: float(text) for name, text in EDITS.values()}
    expected = {**best.config, **edited}
    assert {name for name in expected if expected[name] != best.config[name]} == set(edited)
    saved = Profiles(site.profiles.folder).load("winner")
    assert saved.config == expected
    (record,) = Path(site.root / "results" / "trainings").glob("*/metrics.json")
    trained = json.loads(record.read_text())
    assert trained["config"] == expected
    assert trained["epochs"] == best.config["epochs"] == len(trained["history"])

    page.goto(f"{site.url}/?study={study}&trial={best.provenance['trial']}")
    page.locator(".st-key-trial-panel").get_by_role("button", name="Train", exact=True).click()
    page.get_by_role("heading", name="Review", exact=True).wait_for()
    page.get_by_text(re.compile("Job train-.*: done")).wait_for(timeout=SWEEP_MS)
    records = [
        json.loads(file.read_text()) for file in Path(site.root / "results" / "trainings").glob("*/metrics.json")
    ]
    assert sorted(record["config"] == best.config for record in records) == [False, True]


def test_a_stopped_sweep_keeps_what_it_finished(new_page: Callable[[str], Any], site: Any) -> None:
    page = new_page("sweep")
    enter(page, "Trials", "500")
    page.get_by_role("button", name="Start", exact=True).press("Enter")
    page.get_by_text(" of 500 trials ended").wait_for(timeout=SWEEP_MS)
    page.get_by_text("Running trials").wait_for(timeout=SWEEP_MS)
    page.get_by_role("button", name="Stop", exact=True).press("Enter")
    page.get_by_text(re.compile("Job digits-page-.*: stopped")).wait_for(timeout=SWEEP_MS)
    page.get_by_text("has ended.").wait_for()
    assert {job.state for job in Jobs(site.store).all() if job.kind == "sweep"} <= {"CANCELLED", "SUCCEEDED"}


def test_two_people_edit_one_profile(new_page: Callable[[str], Any], site: Any, make_study: Any) -> None:
    study = make_study(site.root / "results")
    first = site.profiles.save(from_trial(study, trial_row(study, None), "shared"), loaded_revision=0)
    one, other = new_page("review"), new_page("profiles")
    one.get_by_text("A profile", exact=True).click()
    # Streamlit names a box by its label and its choice; the first box selects what to edit.
    one.get_by_role("combobox", name="Profile").first.click()
    one.get_by_role("option", name="shared").click()
    other.get_by_role("combobox", name="Profile").first.click()
    other.get_by_role("option", name="shared").click()
    other.get_by_text("shared, revision 1").wait_for()
    other.get_by_role("button", name="Edit", exact=True).click()
    for page in (one, other):
        page.get_by_text("The same values as revision 1 of shared.").wait_for()
    edit(one, "architecture", "dropout", "0.25")
    edit(other, "training", "learning_rate", "0.03")
    for page in (one, other):
        page.get_by_text("Changes revision 1 of shared").wait_for()
    one.get_by_role("button", name="Save", exact=True).click()
    one.get_by_text("Saved shared, revision 2.").wait_for()
    other.get_by_role("button", name="Save", exact=True).click()
    other.get_by_text("you looked at revision 1, and revision 2 is now current").wait_for()
    assert site.profiles.load("shared").config == {**first.config, "dropout": 0.25}
    other.get_by_role("button", name="Save on top of revision 2").click()
    other.get_by_text("Saved shared, revision 3.").wait_for()
    assert site.profiles.revisions("shared") == [1, 2, 3]
    assert site.profiles.load("shared").config == {**first.config, "dropout": 0.25, "learning_rate": 0.03}


def test_the_browser_asks_before_leaving_unsaved_edits(
    new_page: Callable[[str], Any], site: Any, make_study: Any
) -> None:
    if "digits-small" not in site.store.studies():
        make_study(site.root / "results")
    page = new_page("review")
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.reload()
    page.get_by_role("heading", name="Review", exact=True).wait_for()
    assert asked == []
    edit(page, "training", "learning_rate", "0.03")
    page.get_by_text("Unsaved edits").wait_for()
    page.wait_for_timeout(300)
    page.reload()
    assert asked == ["beforeunload"]
