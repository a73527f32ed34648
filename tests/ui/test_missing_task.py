"""Every part of the page that only shows results works if the study's task cannot be imported."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

UI = Path(__file__).parents[2] / "ui"
STUDY = "digits-small"
SCRIPT = """
import sys
sys.path.insert(0, {ui!r})
from sources import choose_study
import {part}
choose_study()
{part}.show()
"""


@pytest.fixture
def without_task(trained_results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's store: a study whose task is gone."""
    root = tmp_path / "results"
    shutil.copytree(trained_results, root)
    space = root / "studies" / STUDY / "spec.yaml"
    text = space.read_text()
    assert "task: image_cnn" in text
    space.write_text(text.replace("task: image_cnn", "task: gone_away:Task"))
    monkeypatch.setenv("TUNE_APP_STORE", str(root))
    monkeypatch.setenv("TUNE_APP_PROFILES", str(tmp_path / "profiles"))


def opened(part: str) -> AppTest:
    page = AppTest.from_string(SCRIPT.format(ui=str(UI), part=part), default_timeout=60).run()
    assert not page.exception, page.exception
    assert not page.error, page.error
    return page


@pytest.mark.usefixtures("without_task")
def test_health() -> None:
    assert len(opened("health_page").get("plotly_chart")) == 1


@pytest.mark.usefixtures("without_task")
def test_studies() -> None:
    assert STUDY in list(opened("studies_page").dataframe[0].value["Study"])


@pytest.mark.usefixtures("without_task")
def test_review() -> None:
    page = opened("review_form")
    assert any(field.label == "learning_rate" for field in page.get("number_input") + page.get("text_input"))


def view_of_trials(view: str) -> AppTest:
    page = opened("trials_page")
    page.segmented_control(key=f"{STUDY}-view").set_value(view)
    page.session_state[f"{STUDY}-compared"] = [0, 2]
    page.run()
    assert not page.exception, page.exception
    assert not page.error, page.error
    return page


@pytest.mark.usefixtures("without_task")
def test_the_gallery() -> None:
    assert any(button.label == "Open" for button in view_of_trials("Gallery").button)


@pytest.mark.usefixtures("without_task")
def test_the_comparison() -> None:
    assert list(view_of_trials("Compare").dataframe[0].value.columns) == ["What", "Differs", "Trial 0", "Trial 2"]
