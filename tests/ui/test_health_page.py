"""The Health page: the figures of a trial with their weights, what they mean, and what is unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tune_app.store.study import Study
from tune_app.training.health import MEANINGS, WEIGHTS

UI = Path(__file__).parents[2] / "ui"
SCRIPT = f"""
import sys
sys.path.insert(0, {str(UI)!r})
from sources import choose_study
import health_page
choose_study()
health_page.show()
"""


def texts(page: AppTest) -> str:
    assert not page.exception, page.exception
    kinds = (page.markdown, page.caption, page.error, page.warning, page.info)
    return "\n".join(element.value for kind in kinds for element in kind)


@pytest.fixture
def page(trained_results: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("TUNE_APP_STORE", str(trained_results))
    return AppTest.from_string(SCRIPT, default_timeout=60).run()


def test_the_figures_of_the_best_trial_with_weights_and_meanings(page: AppTest) -> None:
    page.selectbox(key="digits-small-trial").set_value(0).run()
    said = texts(page)
    assert "**Trial 0** (completed): Val accuracy" in said
    for name, weight in WEIGHTS.items():
        assert name.replace("_", " ").capitalize() in said
        assert f":gray[weight {100 * weight:.0f}%]" in said
        assert MEANINGS[name] in said
    assert len(page.get("plotly_chart")) == 1
    assert [block.proto.popover.icon for block in page.get("popover")] == [":material/download:"]
    ranked = page.dataframe[0].value
    assert {"trial", "health/overall", *(f"health/{name}" for name in WEIGHTS)} <= set(ranked.columns)
    assert ranked["health/overall"].dropna().is_monotonic_decreasing
    assert len(ranked) == 5


def test_too_little_history_shows_unknown_figures(page: AppTest) -> None:
    page.selectbox(key="digits-small-trial").set_value(1).run()
    said = texts(page)
    assert "Training stability: –** :gray-badge[unknown]" in said
    assert "Too little history: it needs three epochs." in said
    assert "Too little history: it needs four epochs." in said
    page.selectbox(key="digits-small-trial").set_value(3).run()
    said = texts(page)
    assert "overall health **–** :gray-badge[unknown] 0 of 6 scores are known; it needs 3" in said
    assert "Probable cause" not in said
    assert "What to change" not in said


def test_causes_and_what_to_change(page: AppTest) -> None:
    said = ""
    for number in (0, 1):
        page.selectbox(key="digits-small-trial").set_value(number).run()
        said += texts(page)
    assert "Probable cause: " in said
    assert "What to change: `" in said


def test_a_study_without_figures(tmp_path: Path, make_study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    make_study(tmp_path / "results")
    monkeypatch.setenv("TUNE_APP_STORE", str(tmp_path / "results"))
    page = AppTest.from_string(SCRIPT, default_timeout=60).run()
    assert "No trial of this study has health scores: no epoch was measured, or the task has" in texts(page)


def test_an_empty_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_APP_STORE", str(tmp_path / "nothing"))
    page = AppTest.from_string(SCRIPT, default_timeout=60).run()
    assert page.header[0].value == "Health"
    assert "There are no studies yet." in texts(page)


def test_figures_that_need_a_network_are_shown_as_unknown(sgd_study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_APP_STORE", sgd_study.folder.url)
    page = AppTest.from_string(SCRIPT, default_timeout=60).run()
    page.selectbox(key="sgd-trial").set_value(0).run()
    said = texts(page)
    for name in ("Neuron utilization", "Parameter efficiency", "Gradient health"):
        assert f"{name}: –** :gray-badge[unknown]" in said
    assert said.count("Unknown: the task has no network or no probe") == 3
    for name in ("Training stability", "Convergence quality", "Accuracy consistency"):
        assert f"{name}: –" not in said
