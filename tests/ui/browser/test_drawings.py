"""In a real browser: dragging a range along an axis filters the table, and clicking a layer shows its details."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from waiting import rest

from tune_app.store.columns import column_types
from tune_app.store.store import Store
from tune_app.store.study_writer import StudyWriter

ROOT = Path(__file__).parents[3]
WAIT_MS = 60_000


@pytest.fixture(scope="module")
def results(trained_results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the trained study that tests may change."""
    return shutil.copytree(trained_results, tmp_path_factory.mktemp("drawings") / "results")


@pytest.fixture(scope="module")
def url(results: Path, serving: Any) -> Iterator[str]:
    """The address of the Review page with the trained study."""
    with serving(ROOT / "ui" / "review_page.py", results) as address:
        yield address


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page in a separate browser; an error in its scripts fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    context.set_default_timeout(WAIT_MS)
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    yield opened
    context.close()
    assert not problems


def center(box: dict[str, float]) -> tuple[float, float]:
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_range_along_an_axis_filters_the_table(page: Any, url: str) -> None:
    page.goto(url)
    page.get_by_text("Parallel", exact=True).click()
    brush = page.locator(".axes .axis-brush .background").last
    brush.wait_for()
    frame = brush.bounding_box()
    across, _ = center(frame)
    page.mouse.move(across, frame["y"] + frame["height"] * 0.4)
    page.mouse.down()
    page.mouse.move(across, frame["y"] - 4, steps=8)
    page.mouse.up()
    said = page.get_by_text(re.compile(r"trials meets? the filter\."))
    said.wait_for()
    kept = int(said.inner_text().split()[0])
    assert 1 <= kept < 4, "the best of the four trials with an objective"
    page.get_by_text(f"CSV ({kept} trial").wait_for()
    page.get_by_role("button", name="Clear the ranges").click()
    said.wait_for(state="detached")


def click_layer(page: Any, number: int) -> None:
    """Click where the box of a layer is drawn."""
    label = page.locator(f".network .label[data-layer='{number}']")
    canvas = page.locator(".network canvas")
    canvas.scroll_into_view_if_needed()
    frame = canvas.bounding_box()
    x, y = (float(label.get_attribute(f"data-{axis}")) for axis in ("x", "y"))
    page.mouse.click(frame["x"] + x, frame["y"] + y)


def test_a_click_on_a_layer_shows_its_details(page: Any, url: str) -> None:
    page.goto(f"{url}/architecture")
    page.get_by_role("option", name="1. normalize: Normalize").wait_for()
    rest(page)
    details = page.locator(".network .details")
    details.locator("h3", has_text="normalize").wait_for()
    click_layer(page, 1)
    page.locator(".network .details h3", has_text="convolutions.0").wait_for()
    text = details.inner_text()
    assert "Conv2d" in text
    assert "Parameters" in text
    page.get_by_role("listbox", name="Layers").focus()
    page.keyboard.press("ArrowDown")
    page.locator(".network .details h3", has_text="convolutions.1").wait_for()
    before = page.locator(".network .label[data-layer='1']").get_attribute("data-x")
    page.locator(".network canvas").focus()
    page.keyboard.press("ArrowRight")
    page.locator(f".network .label[data-layer='1']:not([data-x='{before}'])").wait_for(
        state="attached"
    )  # the arrow key rotates the network


def test_a_card_links_to_its_network(page: Any, url: str) -> None:
    page.goto(f"{url}/trials")  # the default page is reachable by its name as well
    page.get_by_role("radio", name="Gallery").locator("..").click()
    page.locator("[class*='-open-'] button").nth(1).click()
    page.locator(".st-key-trial-panel").get_by_role("button", name="Architecture").click()
    page.get_by_role("heading", name="Architecture", exact=True).wait_for()
    page.get_by_text(re.compile(r"^Trial \d+ \(completed\): Val accuracy")).wait_for()
    assert page.get_by_label("Trial", exact=True).input_value().startswith("Trial ")


def test_the_downloaded_drawing_opens_without_a_server(page: Any, url: str, tmp_path: Path) -> None:
    page.goto(f"{url}/architecture")
    page.get_by_role("option", name="1. normalize: Normalize").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Drawing (HTML, one file)").click()
    path = tmp_path / "network.html"
    download.value.save_as(path)
    page.context.set_offline(True)
    page.goto(path.as_uri())
    page.locator(".network canvas").wait_for()
    click_layer(page, 1)
    page.locator(".network .details h3", has_text="convolutions.0").wait_for()


def test_the_pictures_of_a_trial_are_drawn_in_the_page(page: Any, url: str) -> None:
    page.goto(f"{url}/architecture")
    page.get_by_role("button", name="Pictures of this trial").click()
    pictures = page.frame_locator("iframe[data-testid=stIFrame]")
    drawn = pictures.locator("section.figure")
    drawn.nth(0).scroll_into_view_if_needed()  # each picture is drawn when it scrolls into view
    pictures.get_by_text("Training history").wait_for()
    drawn.nth(3).scroll_into_view_if_needed()
    pictures.get_by_text("Confusion matrix (validation part)").wait_for()
    counts = drawn.nth(3).locator(".heatmap-label").all_text_contents()
    assert len(counts) == 100
    assert all(count.isdigit() for count in counts)
    pictures.get_by_text("Gradient flow").wait_for()
    page.get_by_role("button", name="Pictures (HTML, one file)").wait_for()


def test_the_best_network_changes_as_the_sweep_runs(page: Any, url: str, results: Path) -> None:
    study = Store(results).study("digits-small")
    spec = study.spec()
    with study.writing(), StudyWriter(study, study.history(), column_types(spec.space.variables)) as writer:
        page.goto(f"{url}/architecture")
        best = page.get_by_text("(completed): Val accuracy")
        best.wait_for()
        page.locator(".network canvas").wait_for()
        assert "Trial 5" not in best.inner_text()
        record = study.history().trials[4]
        config = {**record.config, "conv_layers": 1, "filters": 4}
        assert record.row is not None
        families = dict(record.row.families) | {v.column: config[v.name] for v in spec.space.variables}
        row = replace(record.row, trial=5, trial_id="new", objective=0.99, families=families)
        writer.trial_started(5, "new", config, record.seed, 1)
        writer.trial_ended(row)
        page.get_by_text("Trial 5 (completed): Val accuracy 99%").wait_for()
        page.locator(".network .list li", has_text="Conv2d").wait_for()
