"""Changes that a user requests while a sweep runs."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tune_app.errors import Conflict
from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.store.sweep_changes import SweepChange, SweepChanges
from tune_app.store.trial_notes import TrialNotes

EPOCHS = 8


class Person:
    """Watches the live state, and requests one change after another, each when it is time for it."""

    def __init__(self, study: Study) -> None:
        self.changes = SweepChanges(study)
        self.asked = 0
        self.answers: list[str] = []
        self.most_at_once = 0

    @property
    def again(self) -> int | None:
        """The number of the trial that repeats trial 0, from the answer."""
        found = re.search(r"trial (\d+) repeats trial 0", " ".join(self.answers))
        return int(found.group(1)) if found else None

    def look(self, live: dict[str, Any]) -> None:
        running = {trial["trial"]: trial["epoch"] for trial in live["running"]}
        self.most_at_once = max(self.most_at_once, len(running))
        if live["changes"] < self.asked or live["state"] != "running":
            return
        if len(self.answers) < self.asked:
            self.answers.append(live["answer"])
        wanted: list[tuple[bool, SweepChange]] = [
            (running.get(0, 0) >= 1, SweepChange("stop", 0, "ada")),
            (0 not in running, SweepChange("stop", 0)),
            (True, SweepChange("retry", 0)),
            (True, SweepChange("retry", 1)),
            (True, SweepChange("trials", 9)),
            (self.again in running, SweepChange("concurrent", 2)),
            (len(running) == 2, SweepChange("trials", 1)),
        ]
        if self.asked < len(wanted) and wanted[self.asked][0]:
            self.asked = self.changes.ask(wanted[self.asked][1]) + 1


@pytest.fixture(scope="module")
def steered(
    connected: str, run_space: Any, make_space: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Person]:
    root = tmp_path_factory.mktemp("steered")
    level = {"level": {"type": "float", "low": 0.0, "high": 0.9}}
    document = make_space(budget={"trials": 5, "epochs": EPOCHS}, parameters={"training": {"pace": 0.2, **level}})
    person = Person(Study(Store(root).folder, "faulty"))
    return run_space(root, document, show=person.look), person


def test_a_stopped_trial_is_pruned_and_says_who_did_it(steered: tuple[Any, Person]) -> None:
    swept, _ = steered
    row = swept.trials.loc[0]
    assert row["state"] == "PRUNED"
    assert 1 <= row["epochs"] < EPOCHS
    assert row["objective"] == pytest.approx(row["config/training/level"] + 0.01 * row["epochs"])
    assert TrialNotes(swept.study).read()[0].tags == ("stopped by hand",)


def test_a_trial_is_retried_unchanged(steered: tuple[Any, Person]) -> None:
    swept, person = steered
    first, again = swept.trials.loc[0], swept.trials.loc[person.again]
    assert again["config/training/level"] == first["config/training/level"]
    assert again["seed"] == first["seed"]
    assert (again["state"], again["epochs"]) == ("COMPLETED", EPOCHS)
    assert again["started_at"] < swept.trials.loc[4, "started_at"], "it must run before trials that have not started"


def test_the_number_of_trials_and_how_many_run_at_once_can_be_changed(steered: tuple[Any, Person]) -> None:
    swept, person = steered
    assert person.most_at_once == 2
    assert person.answers == [
        "trial 0 ends after its current epoch",
        "trial 0 is not running",
        f"trial {person.again} repeats trial 0",
        "only an ended trial can be retried, but trial 1 has not ended",
        "the study now has 9 trials",
        "at most 2 at a time",
        f"the study now has {len(swept.trials)} trials, because {len(swept.trials)} had started",
    ]
    assert 6 <= len(swept.trials) < 9, "trials that had already started must continue"
    document = yaml.safe_load(swept.study.folder.read(f"{swept.study.base}/spec.yaml"))
    assert document["budget"]["trials"] == len(swept.trials)
    assert swept.outcome.reason is None


def test_only_a_running_sweep_can_be_changed(steered: tuple[Any, Person]) -> None:
    swept, _ = steered
    with pytest.raises(Conflict, match="nothing is writing the study `faulty`") as caught:
        SweepChanges(swept.study).ask(SweepChange("trials", 9))
    assert "`tune-app resume faulty` continues it; --trials N adds N trials" in caught.value.hint
