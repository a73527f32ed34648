"""In a real browser: the answer without scrolling, a trial in one click, one filter for everything, links to a view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from waiting import rest

from tune_app.spaces.spec import Spec
from tune_app.store.store import Store

pytestmark = pytest.mark.timeout(300)
SMALL, LARGE, TRIALS = "forty-trials", "many-trials", 10_000
ENDS = ["COMPLETED", "PRUNED", "COMPLETED", "FAILED", *["COMPLETED", "PRUNED", "PRUNED", "PRUNED"] * 9]
HEADER, ROW = 36, 35
"""Heights in the table, in pixels."""
both = pytest.mark.parametrize("study", [SMALL, LARGE])


@pytest.fixture(scope="module", autouse=True)
def studies(site: Any, make_study: Any, make_spec: Callable[..., Spec]) -> None:
    """A study of 40 trials, and one of 10,000 that repeats its rows under other numbers."""
    root = Path(site.store.folder.url)
    spec = replace(make_spec(budget={"trials": len(ENDS), "epochs": 3}), name=SMALL)
    make_study(root, spec, ends=ENDS)
    make_study(root, replace(spec, name=LARGE), ends=ENDS)
    for kind in ("trials", "epochs"):
        file = root / kind / f"study={LARGE}" / "data.parquet"
        table = pd.read_parquet(file)
        copies = [table.assign(trial=table["trial"] + len(ENDS) * turn) for turn in range(TRIALS // len(ENDS))]
        schema = pd.read_parquet(file, dtype_backend="pyarrow").dtypes
        many = pd.concat(copies, ignore_index=True).astype(schema.to_dict())
        write_like(file, many)


def write_like(file: Path, table: pd.DataFrame) -> None:
    """Replace the file with the table, keeping its schema and metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pq.read_schema(file)
    pq.write_table(
        pa.Table.from_pandas(table, schema, preserve_index=False).replace_schema_metadata(schema.metadata), file
    )


@pytest.fixture
def open_trials(new_page: Callable[[str], Any], site: Any) -> Callable[..., Any]:
    """The Trials page at an address, in a separate browser the size of a laptop screen."""

    def open_at(query: str) -> Any:
        page = new_page("trials")
        page.set_viewport_size({"width": 1440, "height": 900})
        page.goto(f"{site.url}/?{query}")
        page.locator("[data-testid=stDataFrame] canvas").first.wait_for()
        rest(page)
        return page

    return open_at


def click_row(page: Any, row: int, across: int = 150) -> None:
    """Click a row of the table, counted from 0."""
    box = page.locator("[data-testid=stDataFrame]").first.bounding_box()
    x, y = box["x"] + across, box["y"] + HEADER + ROW * row + ROW / 2
    page.mouse.move(x + 40, y - 60)  # as a hand would; the table ignores clicks of a pointer that never moves
    page.mouse.move(x, y, steps=5)
    page.mouse.click(x, y)
    rest(page)


def opened(page: Any, after: str | None = None) -> str:
    """The headline of the trial in the panel, as soon as there is one other than the one before."""
    script = "before => (h => h && h !== before && h)(document.querySelector('.st-key-trial-panel h4')?.innerText)"
    headline = page.wait_for_function(script, arg=after).json_value()
    rest(page)
    return str(headline)


def is_open(page: Any) -> bool:
    """Whether a trial is open in the panel."""
    return bool(page.locator(".st-key-trial-panel").count())


@both
def test_the_answer_and_the_table_are_visible_without_scrolling(open_trials: Callable[..., Any], study: str) -> None:
    page = open_trials(f"study={study}")
    page.get_by_text("Best val accuracy, trial 0").wait_for()
    for button in ("Review", "Apply", "Train", "Architecture"):
        page.get_by_role("button", name=button, exact=True).wait_for()
    for part in (".js-plotly-plot", "[data-testid=stDataFrame]"):
        box = page.locator(part).first.bounding_box()
        assert box["y"] + min(box["height"], HEADER + 3 * ROW) <= 900, part
    page.get_by_role("button", name="Apply", exact=True).click()
    page.get_by_text("Trial 0 is now the current configuration").wait_for()
    page.get_by_role("button", name="Review", exact=True).click()
    page.get_by_role("heading", name="Review", exact=True).wait_for()
    rest(page)
    chosen = "study => document.querySelector('.stSidebar [data-testid=stSelectbox] input')?.value === study"
    page.wait_for_function(chosen, arg=study)  # another page shows the same study


@both
def test_a_click_opens_a_trial_and_the_arrow_keys_move_on(open_trials: Callable[..., Any], study: str) -> None:
    page = open_trials(f"study={study}")
    click_row(page, 1)
    second = opened(page)
    assert "completed" in second
    page.keyboard.press("ArrowRight")
    third = opened(page, after=second)
    page.keyboard.press("ArrowLeft")
    assert opened(page, after=third) == second
    page.keyboard.press("Escape")
    page.locator(".st-key-trial-panel").wait_for(state="detached")
    click_row(page, 1)
    assert opened(page) == second, "clicking the same row opens it again"


def test_the_arrow_keys_follow_the_order_in_which_the_table_is_sorted(open_trials: Callable[..., Any]) -> None:
    page = open_trials(f"study={SMALL}")
    click_row(page, -1, across=180)  # the header "Val accuracy", except its right end, which opens a menu
    cell = "document.querySelector('[role=grid] tbody tr:first-child [role=gridcell][aria-colindex=\"1\"]')"
    page.wait_for_function(f"{cell}?.textContent === '39'")
    assert not is_open(page), "sorting opens nothing"
    click_row(page, 0)
    seen = [opened(page)]
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
        seen.append(opened(page, after=seen[-1]))
    assert [headline.split()[1] for headline in seen] == ["39", "38", "37", "38"]


@both
def test_a_link_opens_the_same_view_for_a_colleague(open_trials: Callable[..., Any], study: str) -> None:
    page = open_trials(f"study={study}")
    page.get_by_role("button", name="Filter").first.click()
    page.get_by_role("button", name="pruned", exact=True).click()
    rest(page)
    page.keyboard.press("Escape")
    click_row(page, 0)
    page.get_by_role("button", name="Compare", exact=True).last.click()
    page.get_by_role("button", name="Compared", exact=True).wait_for()
    headline = opened(page)
    other = open_trials(page.url.partition("?")[2])
    assert opened(other) == headline
    other.get_by_role("button", name="Compared", exact=True).wait_for()
    other.get_by_role("button", name="pruned ✕").click()
    other.wait_for_function("() => !location.search.includes('filter=')")


def test_the_chosen_columns_are_remembered(open_trials: Callable[..., Any], site: Any) -> None:
    page = open_trials(f"study={SMALL}")
    at_first = shown_columns(page)
    page.get_by_role("button", name="Columns", exact=True).click()
    page.get_by_role("button", name="All", exact=True).click()
    rest(page)
    chosen = shown_columns(page)
    assert chosen > at_first
    page = another_tab(page, site)
    page.locator(f"[role=grid][aria-colcount='{chosen}']").first.wait_for(state="attached")
    page.get_by_role("button", name="Columns", exact=True).click()
    page.get_by_role("button", name="Only varying").click()
    page.locator(f"[role=grid][aria-colcount='{at_first}']").first.wait_for(state="attached")
    page = another_tab(page, site)
    page.wait_for_timeout(1_000)
    assert shown_columns(page) == at_first


def another_tab(page: Any, site: Any) -> Any:
    """The study in another tab of the same browser."""
    tab = page.context.new_page()
    tab.goto(f"{site.url}/?study={SMALL}")
    tab.locator("[data-testid=stDataFrame] canvas").first.wait_for()
    rest(tab)
    return tab


def shown_columns(page: Any) -> int:
    """How many columns the table has."""
    page.wait_for_timeout(500)  # the table updates its ARIA attributes with a delay
    return int(page.locator("[data-testid=stDataFrame] [role=grid]").first.get_attribute("aria-colcount"))


@both
def test_a_star_is_saved_with_the_study(open_trials: Callable[..., Any], site: Any, study: str) -> None:
    from tune_app.store.trial_notes import TrialNotes

    page = open_trials(f"study={study}&trial=2")
    page.get_by_role("button", name="Star", exact=True).click()
    page.get_by_role("button", name="Starred", exact=True).wait_for()
    page.get_by_text("Note and tags").click()
    note = page.get_by_label("Note", exact=True)
    note.press_sequentially("Look again")
    page.keyboard.press("Escape")  # leaves the field but keeps the trial open
    rest(page)
    assert is_open(page)
    kept = TrialNotes(Store(site.store.folder.url).study(study)).read()[2]
    assert (kept.star, kept.text) == (True, "Look again")


def test_no_label_is_cut_on_a_narrow_screen(
    new_page: Callable[[str], Any], site: Any, cut_texts: Callable[[Any], list[str]]
) -> None:
    page = new_page("trials")
    page.set_viewport_size({"width": 900, "height": 900})
    parts = ["trials", "review", "profiles", "health", "sweep", "studies", "architecture"]
    views = [f"trials?study={SMALL}&view=Gallery", f"trials?study={SMALL}&view=Compare&compare=0,2"]
    for address in [*(f"{part}?study={SMALL}" for part in parts), *views]:
        page.goto(f"{site.url}/{address}")
        page.get_by_role("heading", name=address.partition("?")[0].capitalize(), exact=True).wait_for()
        if address.startswith("architecture"):  # the network is rebuilt first
            page.get_by_role("button", name="Layers (JSON)").wait_for()
        rest(page)
        assert not cut_texts(page), address


@pytest.mark.parametrize("width", [900, 1200, 1440])
def test_no_label_is_cut_beside_an_open_trial(
    open_trials: Callable[..., Any], cut_texts: Callable[[Any], list[str]], width: int
) -> None:
    page = open_trials(f"study={SMALL}&trial=2")
    page.set_viewport_size({"width": width, "height": 900})
    opened(page)
    assert not cut_texts(page)


def test_a_trial_opens_and_closes_by_keyboard_alone(open_trials: Callable[..., Any]) -> None:
    page = open_trials(f"study={SMALL}")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "CANVAS":
            break
    page.keyboard.press("ArrowDown")
    second = opened(page)
    page.keyboard.press("ArrowRight")
    opened(page, after=second)
    page.keyboard.press("Escape")
    page.locator(".st-key-trial-panel").wait_for(state="detached")


def test_the_curve_of_an_open_trial_is_saved(open_trials: Callable[..., Any]) -> None:
    page = open_trials(f"study={SMALL}&trial=2")
    opener = page.locator(".st-key-trial-panel [data-testid=stPopover] button", has_text="download").first
    opener.click()
    with page.expect_download() as download:
        page.get_by_role("button", name="PNG", exact=True).click()
    assert download.value.suggested_filename == f"{SMALL}-trial-2.png"
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")


def test_two_studies_side_by_side(new_page: Callable[[str], Any]) -> None:
    page = new_page("studies")
    page.locator("[data-testid=stDataFrame] canvas").first.wait_for()
    rest(page)
    for row in (0, 1):
        click_row(page, row, across=15)
    page.get_by_text("between the winners.").wait_for()
    page.locator(".js-plotly-plot").first.wait_for()
