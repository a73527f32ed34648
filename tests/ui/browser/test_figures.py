"""In a real browser: every click in a figure reports its trial, and figures are saved as pictures and data."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from waiting import rest

from tune_app.spaces.spec import Spec

UI = Path(__file__).parents[3] / "ui"
WAIT_MS = 60_000
STUDY, PARETO = "figures", "two-objectives"
SCRIPT = f"""
import sys
sys.path.insert(0, {str(UI)!r})
import streamlit as st
from sources import epochs_of, spec_of, store, trials_of
from trial_figures import show_figure

def tell(number):
    st.session_state["told"] = [*st.session_state.get("told", []), number]

study = store().study(st.query_params.get("study", {STUDY!r}))
trials = trials_of(study)
show_figure(study, spec_of(study), trials, trials, [], tell)
st.text("Told: " + str(st.session_state.get("told", [])))
"""


@pytest.fixture(scope="module")
def url(
    tmp_path_factory: pytest.TempPathFactory, make_study: Any, make_spec: Callable[..., Spec], serving: Any
) -> Iterator[str]:
    """A page that shows only the figures of twelve completed trials and prints each reported trial."""
    root = tmp_path_factory.mktemp("figures")
    pareto = make_spec(objective={"metric": "val_accuracy", "mode": "pareto", "against": "size"})
    make_study(root / "results", replace(pareto, name=PARETO), ends=["COMPLETED"] * 12)
    make_study(root / "results", replace(make_spec(), name=STUDY), ends=["COMPLETED"] * 12)
    (root / "page.py").write_text(SCRIPT)
    with serving(root / "page.py", root / "results") as address:
        yield address


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    context.set_default_timeout(WAIT_MS)
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.goto(url)
    opened.locator(".js-plotly-plot .main-svg").first.wait_for()
    rest(opened)
    yield opened
    context.close()
    assert not problems


def click_point(page: Any, position: int) -> None:
    """Click the point at this position in all traces."""
    box = page.locator(".js-plotly-plot .scatterlayer .trace .points path").nth(position).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2 - 3, box["y"] + box["height"] / 2)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_timeout(200)  # plotly notices what is under the pointer with a delay
    page.mouse.down()
    page.mouse.up()


def test_every_click_on_a_point_reports_its_trial(page: Any) -> None:
    number = page.evaluate("document.querySelector('.js-plotly-plot')._fullData[0].customdata[2][0]")
    for times in (1, 2, 3):
        click_point(page, 2)
        page.get_by_text(f"Told: {[int(number)] * times}", exact=True).wait_for()
        rest(page)


def test_a_click_on_the_pareto_front_reports_its_trial(page: Any, url: str) -> None:
    page.goto(f"{url}/?study={PARETO}")
    page.locator(".js-plotly-plot .scatterlayer .trace .points path").first.wait_for()
    rest(page)
    assert page.get_by_role("radio", name="Pareto front").is_checked()
    last = page.locator(".js-plotly-plot .scatterlayer .trace .points path").count() - 1
    number = page.evaluate("document.querySelector('.js-plotly-plot')._fullData.at(-1).customdata.at(-1)[0]")
    click_point(page, last)
    page.get_by_text(f"Told: {[int(number)]}", exact=True).wait_for()


def test_a_line_of_parallel_coordinates_shows_its_trial_and_opens_it(page: Any) -> None:
    page.get_by_text("Parallel", exact=True).click()
    page.locator(".axes .y-axis").nth(3).wait_for()
    rest(page)
    frame = page.locator(".axes").bounding_box()
    tip = page.locator(".axes-tip")
    axis = page.locator(".axes .y-axis .axis .domain").nth(0).bounding_box()
    # Move down just right of the first axis until a line is near.
    for share in range(1, 40):
        page.mouse.move(axis["x"] + 40, axis["y"] + axis["height"] * share / 40)
        if tip.is_visible():
            break
    text = tip.inner_text()
    assert text.startswith("trial ")
    assert "completed" in text
    assert "Val accuracy: " in text
    number = int(text.split(",")[0].removeprefix("trial "))
    page.mouse.down()
    page.mouse.up()
    page.get_by_text(f"Told: [{number}]", exact=True).wait_for()
    page.mouse.move(frame["x"] + 2, frame["y"] - 20)
    tip.wait_for(state="hidden")


def test_a_moved_axis_stays_where_it_was_put(page: Any) -> None:
    page.get_by_text("Parallel", exact=True).click()
    page.locator(".axes .y-axis").nth(3).wait_for()
    rest(page)

    def labels() -> list[str]:
        return [
            text
            for _, text in sorted(
                (label.bounding_box()["x"], label.text_content()) for label in page.locator(".axes .axis-title").all()
            )
        ]

    before = labels()
    title = page.locator(".axes .axis-title", has_text=before[0]).first.bounding_box()
    page.mouse.move(title["x"] + title["width"] / 2, title["y"] + title["height"] / 2)
    page.mouse.down()
    page.mouse.move(title["x"] + 500, title["y"] + title["height"] / 2, steps=20)
    page.mouse.up()
    page.wait_for_timeout(1000)
    rest(page)
    moved = labels()
    assert moved != before
    assert sorted(moved) == sorted(before)
    page.set_viewport_size({"width": 1100, "height": 720})
    page.wait_for_timeout(1000)
    assert labels() == moved


@pytest.mark.parametrize("figure", ["History", "Parallel"])
def test_a_figure_is_saved_as_a_picture_and_as_data(page: Any, figure: str) -> None:
    page.get_by_text(figure, exact=True).click()
    page.locator(".axes .y-axis" if figure == "Parallel" else ".js-plotly-plot .main-svg").first.wait_for()
    rest(page)
    begins = {"PNG": b"\x89PNG", "SVG": b"<svg"}
    opener = page.get_by_test_id("stPopover").get_by_role("button")
    for label, magic in begins.items():
        opener.click()  # saving a picture clicks elsewhere, which closes the menu
        with page.expect_download() as download:
            page.get_by_role("button", name=label, exact=True).click()
        assert download.value.suggested_filename == f"{STUDY}-{figure.lower()}.{label.lower()}"
        assert Path(download.value.path()).read_bytes().startswith(magic)
    opener.click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Data (CSV)").click()
    table = pd.read_csv(io.BytesIO(Path(download.value.path()).read_bytes()))
    assert {"trial", "state", "objective"} <= set(table.columns)
    assert len(table) == 12


def test_the_data_of_every_figure_is_saved(page: Any) -> None:
    opener = page.get_by_test_id("stPopover").get_by_role("button")
    rows = {"Learning curves": 24, "Slice": 12, "Contour": 12, "Rank": 12, "Distribution": 12, "Timeline": 12}
    for figure, count in rows.items():
        page.get_by_text(figure, exact=True).click()
        page.locator(".js-plotly-plot .main-svg").first.wait_for()
        rest(page)
        opener.click()
        with page.expect_download() as download:
            page.get_by_role("button", name="Data (CSV)").click()
        table = pd.read_csv(io.BytesIO(Path(download.value.path()).read_bytes()))
        assert "trial" in table
        assert len(table) == count
        page.keyboard.press("Escape")
        rest(page)
