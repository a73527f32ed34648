"""The Trials page: its first view, figures, filters, cards, comparison, and edge cases."""

from __future__ import annotations

import io
import json
import math
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from streamlit.testing.v1 import AppTest

from tune_app.moment import now
from tune_app.spaces.spec import Spec
from tune_app.store.store import Store
from tune_app.store.trial_notes import TrialNotes

UI = Path(__file__).parents[2] / "ui"
SCRIPT = f"""
import sys
sys.path.insert(0, {str(UI)!r})
from address import read_address
from sources import choose_study
import trials_page
read_address()
choose_study()
trials_page.show()
"""
STUDY = "digits-small"
FIGURES = ["History", "Learning curves", "Parallel", "Slice", "Contour", "Rank", "Distribution", "Timeline"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, make_study: Any, make_spec: Callable[..., Spec]) -> Path:
    root = tmp_path_factory.mktemp("trials") / "results"
    spec = make_spec()
    pareto = make_spec(objective={"metric": "val_accuracy", "mode": "pareto", "against": "size"})
    make_study(root, replace(pareto, name="two-figures"))
    make_study(root, replace(spec, name="all-failed"), ends=("FAILED", "FAILED"))
    make_study(root, replace(spec, name="not-begun"), ends=())
    newest = make_study(root, spec, ends=("COMPLETED", "PRUNED", "COMPLETED", "FAILED", *["COMPLETED"] * 12))
    newest.folder.write(f"{newest.base}/live.json", json.dumps({"state": "ended", "at": now()}).encode())
    return root


@pytest.fixture
def open_page(results: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """Opens the Trials page on a study of the store."""

    def run(study: str | None = STUDY, root: Path = results, address: Mapping[str, str] | None = None) -> AppTest:
        monkeypatch.setenv("TUNE_APP_STORE", str(root))
        page = AppTest.from_string(SCRIPT, default_timeout=60)
        for name, value in (address or {}).items():
            page.query_params[name] = value
        if study is not None:
            page.session_state["study"] = study
        return clean(page.run())

    return run


def clean(page: AppTest) -> AppTest:
    """The page, after a check that its run raised no exception."""
    assert not page.exception, page.exception
    return page


def texts(page: AppTest) -> str:
    """All text on the page."""
    kinds = (page.markdown, page.caption, page.error, page.warning, page.info)
    return "\n".join(element.value for kind in kinds for element in kind)


def table(page: AppTest) -> pd.DataFrame:
    return page.dataframe[0].value


def pick(page: AppTest, key: str, value: str) -> AppTest:
    """Choose in a segmented control."""
    page.segmented_control(key=f"{STUDY}-{key}").set_value(value)
    return clean(page.run())


def test_a_task_that_cannot_be_imported_is_not_needed(
    open_page: Callable[..., AppTest], results: Path, tmp_path: Path
) -> None:
    root = tmp_path / "results"
    shutil.copytree(results, root)
    space = root / "studies" / STUDY / "spec.yaml"
    space.write_text(space.read_text().replace("task: image_cnn", "task: gone_away:Task"))
    page = open_page(root=root)
    assert not page.error
    assert page.metric[0].value == "90%"


def test_a_damaged_search_space_hides_no_trials(
    open_page: Callable[..., AppTest], results: Path, tmp_path: Path
) -> None:
    root = tmp_path / "results"
    shutil.copytree(results, root)
    space = root / "studies" / STUDY / "spec.yaml"
    space.write_text(space.read_text().replace("budget:", "bugdet:"))
    page = open_page(root=root)
    assert "`bugdet`" in page.error[0].value
    shown = table(page)
    assert len(shown) == len(pd.read_parquet(root / "trials" / f"study={STUDY}"))
    assert {"objective", "config/training/learning_rate"} <= set(shown.columns)
    assert [button.label for button in page.get("download_button")] == ["CSV (16 trials)", "Parquet (16 trials)"]


def test_the_newest_study_opens_with_a_useful_view(open_page: Callable[..., AppTest]) -> None:
    page = open_page(None)
    assert page.selectbox(key="study").value == STUDY
    assert {metric.label: (metric.value, metric.delta) for metric in page.metric} == {
        "Best val accuracy, trial 0": ("90%", ""),
        "Lead over trial 2": ("20 pp", "its spread is unknown"),
        "Trials": ("16 of 16", "14 completed, 1 pruned, 1 failed"),
        "Cost": ("24 s of CPU", "3% of the epochs saved"),
    }
    assert "What mattered, with the winner's values" not in texts(page), "no variable is above chance"
    assert [button.label for button in page.button[:4]] == ["Review", "Apply", "Train", "Architecture"]
    shown = table(page)
    assert list(shown["trial"])[:2] == [0, 2], "the best first"
    assert "config/training/learning_rate" in shown
    assert "node" not in shown, "it is the same in every trial"
    assert "metric/val_accuracy" not in shown, "it is the objective"
    assert len(page.get("plotly_chart")) == 1


@pytest.mark.parametrize("figure", FIGURES)
def test_only_the_chosen_figure_is_drawn(open_page: Callable[..., AppTest], figure: str) -> None:
    page = pick(open_page(), "figure", figure)
    drawn = len(page.get("plotly_chart")), len(page.get("bidi_component"))
    # Components save the figure as a picture and listen for clicks; plotly's library is one too. Two more belong to
    # the whole page: they listen for arrow keys and remember the chosen columns.
    assert drawn == ((0, 5) if figure == "Parallel" else (1, 4))


def test_too_few_trials_for_importances_say_how_many_are_needed(open_page: Callable[..., AppTest]) -> None:
    page = pick(open_page(), "figure", "Importance")
    assert "Importances of 5 variables need 15 completed trials, but the study has 14" in texts(page)
    assert not page.get("plotly_chart")


def test_the_front_of_a_study_with_two_figures_comes_first(open_page: Callable[..., AppTest]) -> None:
    page = open_page("two-figures")
    assert page.segmented_control(key="two-figures-figure").value == "Pareto front"
    assert len(page.get("plotly_chart")) == 1


def test_filters_by_choice_range_and_text(open_page: Callable[..., AppTest], results: Path) -> None:
    page = open_page()
    page.multiselect(key=f"{STUDY}-filter-by").set_value(["objective", "config/training/optimizer"])
    page = clean(page.run())
    page.number_input(key=f"{STUDY}-filter-objective-at least").set_value(0.55)
    page = clean(page.run())
    assert set(table(page)["trial"]) == {0, 1, 2}
    assert "3 of 16 trials meet the filter." in texts(page)
    assert [button.label for button in page.button if button.key.startswith(f"{STUDY}-chip")] == [
        "Val accuracy ≥ 55% ✕"
    ]
    page.number_input(key=f"{STUDY}-filter-objective-at least").set_value(0.85)
    assert "1 of 16 trials meets the filter." in texts(clean(page.run()))
    page.number_input(key=f"{STUDY}-filter-objective-at least").set_value(None)
    page.multiselect(key=f"{STUDY}-filter-config/training/optimizer").set_value(["sgd"])
    page = clean(page.run())
    trials = pd.read_parquet(results / "trials" / f"study={STUDY}").set_index("trial")
    kept = trials.loc[table(page)["trial"]]
    assert set(kept["config/training/optimizer"]) == {"sgd"}
    assert len(kept) == (trials["config/training/optimizer"] == "sgd").sum()
    page.multiselect(key=f"{STUDY}-filter-config/training/optimizer").set_value([])
    page.text_input(key=f"{STUDY}-filter-text").set_value("no [/bracket] fits")
    page = clean(page.run())
    assert list(table(page)["trial"]) == [3]
    page.text_input(key=f"{STUDY}-filter-text").set_value("never said")
    page.pills(key=f"{STUDY}-filter-states").set_value(["PRUNED"])
    page = clean(page.run())
    assert "No trial meets the filter:\n\n- without **text “never said”**, 1 trial" in texts(page)
    assert not page.dataframe
    page.button(key=f"{STUDY}-chip-text").click()
    assert list(table(clean(page.run()))["trial"]) == [1]
    page.button(key=f"{STUDY}-chip-state").click()
    assert len(table(clean(page.run()))) == 16


def test_crossed_bounds_show_an_error_and_no_column_vanishes(open_page: Callable[..., AppTest]) -> None:
    page = open_page()
    columns = list(table(page).columns)
    page.multiselect(key=f"{STUDY}-filter-by").set_value(["objective"])
    page = clean(page.run())
    page.number_input(key=f"{STUDY}-filter-objective-at least").set_value(0.85)
    page = clean(page.run())
    assert list(table(page).columns) == columns, "a single trial has nothing to differ from"
    page.number_input(key=f"{STUDY}-filter-objective-at most").set_value(0.8)
    page = clean(page.run())
    assert "**Val accuracy** must be at least 85% and at most 80%" in texts(page)
    page.multiselect(key=f"{STUDY}-filter-by").set_value([])
    assert len(table(clean(page.run()))) == 16


def test_a_trial_opens_in_a_panel_next_to_the_page(open_page: Callable[..., AppTest]) -> None:
    page = pick(open_page(), "view", "Gallery")
    page.button(key=f"{STUDY}-open-2").click()
    page = clean(page.run())
    said = texts(page)
    assert "#### Trial 2 :green-badge[completed]" in said
    assert "Val accuracy **70%** · 2 of 14 completed" in said
    assert "| **optimizer** |" in said
    page.button(key=f"{STUDY}-panel-Next").click()
    assert "#### Trial 4" in texts(clean(page.run()))
    page.button(key=f"{STUDY}-panel-compare").click()
    page = clean(page.run())
    assert page.button(key=f"{STUDY}-panel-compare").label == "Compared"
    assert page.session_state[f"{STUDY}-compared"] == [4]
    page.button(key=f"{STUDY}-panel-close").click()
    assert "#### Trial" not in texts(clean(page.run()))


def test_stars_tags_and_notes(open_page: Callable[..., AppTest], results: Path, tmp_path: Path) -> None:
    root = tmp_path / "results"
    shutil.copytree(results, root)
    page = open_page(root=root)
    assert "star" not in table(page), "no trial has one yet"
    page.session_state[f"{STUDY}-open"] = 2
    page = clean(page.run())
    page.button(key=f"{STUDY}-panel-star").click()
    page = clean(page.run())
    assert page.button(key=f"{STUDY}-panel-star").label == "Starred"
    page.multiselect(key=f"{STUDY}-tags-2").set_value(["odd"])
    page.text_area(key=f"{STUDY}-note-2").set_value("Look again")
    page = clean(page.run())
    shown = table(page).set_index("trial")
    assert shown["star"].sum() == 1
    assert shown.loc[2, ["tags", "note"]].tolist() == ["odd", "Look again"]
    TrialNotes(Store(root).study(STUDY)).write(2, "Theirs", seen=1, by="ben")
    page.text_area(key=f"{STUDY}-note-2").set_value("Mine")
    page = clean(page.run())
    assert "ben has written in the meantime: Theirs" in "".join(warning.value for warning in page.warning) or any(
        "has changed since you read it" in toast.value for toast in page.toast
    )
    page.toggle(key=f"{STUDY}-filter-star").set_value(True)
    page = clean(page.run())
    assert table(page)["trial"].tolist() == [2]
    assert page.button(key=f"{STUDY}-chip-star").label == "★ ✕"


def test_damaged_notes_hide_no_trials(open_page: Callable[..., AppTest], results: Path, tmp_path: Path) -> None:
    root = tmp_path / "results"
    shutil.copytree(results, root)
    (root / "studies" / STUDY / "notes.jsonl").write_text("{broken\n")
    page = open_page(root=root)
    assert len(table(page)) == 16
    assert "notes of `digits-small` cannot be read" in page.warning[0].value
    assert page.warning[0].value == clean(page.run()).warning[0].value, "the warning is repeated on every run"


def test_a_failed_trial_shows_its_error(open_page: Callable[..., AppTest]) -> None:
    page = open_page()
    page.session_state[f"{STUDY}-open"] = 3
    page = clean(page.run())
    assert "**error**: ValueError\\: no \\[/bracket\\] fits" in texts(page)
    assert page.button(key=f"{STUDY}-panel-Next").disabled, "it is the last one"
    page.session_state[f"{STUDY}-open"] = 99
    assert "Trial 99 has not ended yet" in texts(clean(page.run()))


def test_a_failed_trial_shows_its_traceback(open_page: Callable[..., AppTest], results: Path, tmp_path: Path) -> None:
    root = tmp_path / "results"
    shutil.copytree(results, root)
    study = Store(root).study(STUDY)
    study.folder.write(study.log(3), b"Traceback (most recent call last):\n  task.py, line 3\nValueError: no fits\n")
    page = open_page(root=root)
    page.session_state[f"{STUDY}-open"] = 3
    page = clean(page.run())
    assert any(code.value.startswith("Traceback (most recent call last):") for code in page.code)
    assert next(part for part in page.expander if part.label == "Log").proto.expanded


def test_an_open_trial_shows_all_that_is_known_of_it(
    open_page: Callable[..., AppTest], tmp_path: Path, make_study: Any, make_spec: Callable[..., Spec]
) -> None:
    parameters = make_spec().to_dict()["parameters"]
    parameters["architecture"]["dense_layers"] = 0
    make_study(tmp_path / "results", make_spec(parameters=parameters))
    page = open_page(root=tmp_path / "results")
    before = len(page.get("plotly_chart"))
    page.session_state[f"{STUDY}-open"] = 2
    page = clean(page.run())
    said = texts(page)
    assert len(page.get("plotly_chart")) == before + 1, "its curve"
    parts = {part.label.split(" (")[0] for part in page.expander}
    assert parts == {"Note and tags", "Architecture", "Training", "Data", "Inference", "Metrics"}
    assert "| :gray[dense_width] | :gray[no effect] | :gray[same] |" in said
    assert "| Val loss | 3 |" in said
    assert "configuration from" in said
    assert "This trial has no checkpoint." in said
    buttons = {button.label for button in page.button if (button.key or "").startswith(f"{STUDY}-panel")}
    assert buttons >= {"Review", "Architecture", "Compare", "Train", "Star"}
    assert "Retry" in [block.proto.popover.label for block in page.get("popover")]


def test_the_address_opens_the_same_view(open_page: Callable[..., AppTest]) -> None:
    page = pick(open_page(), "view", "Compare")
    page.session_state[f"{STUDY}-open"] = 2
    page.session_state[f"{STUDY}-compared"] = [0, 2]
    page.pills(key=f"{STUDY}-filter-states").set_value(["COMPLETED"])
    page = clean(page.run())
    address = dict(page.query_params)
    assert set(address) == {"study", "view", "filter", "compare", "trial"}
    other = open_page(None, address=address)
    assert table(other).columns[-1] == "Trial 2"
    assert "14 of 16 trials meet the filter." in texts(other)
    assert "#### Trial 2" in texts(other)


def test_the_address_holds_the_settings_of_a_figure(open_page: Callable[..., AppTest]) -> None:
    page = pick(open_page(), "figure", "Slice")
    other = {"conv_layers", "filters"} - {page.selectbox(key=f"{STUDY}-slice").value}
    chosen = min(other)
    page.selectbox(key=f"{STUDY}-slice").set_value(chosen)
    page.toggle(key=f"{STUDY}-slice-log-error").set_value(False)
    address = dict(clean(page.run()).query_params)
    assert (address["slice"], address["slice-log-error"]) == (chosen, "off")
    linked = open_page(None, address=address)
    assert linked.selectbox(key=f"{STUDY}-slice").value == chosen
    assert linked.toggle(key=f"{STUDY}-slice-log-error").value is False
    unknown = open_page(None, address={"study": STUDY, "figure": "Slice", "slice": "nothing", "slice-log-error": "?"})
    assert unknown.selectbox(key=f"{STUDY}-slice").value != "nothing"
    assert unknown.toggle(key=f"{STUDY}-slice-log-error").value is True


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ({"filter": "{"}, "a filter must be in the form that the page writes to its address, not `{`"),
        ({"trial": "x"}, "The trial in the address is not a number."),
        ({"view": "Nothing", "figure": "Nothing"}, ""),
    ],
)
def test_an_invalid_address(open_page: Callable[..., AppTest], address: dict[str, str], words: str) -> None:
    page = open_page(None, address={"study": STUDY, **address})
    assert words in texts(page)
    assert len(table(page)) == 16


def test_a_filter_by_state_counts_as_set(open_page: Callable[..., AppTest]) -> None:
    page = open_page()
    page.pills(key=f"{STUDY}-filter-states").set_value(["PRUNED", "FAILED"])
    page = clean(page.run())
    assert set(table(page)["trial"]) == {1, 3}
    assert "Filter (1)" in [block.proto.popover.label for block in page.get("popover")]


def test_a_figure_of_completed_trials_says_that_the_filter_leaves_none(open_page: Callable[..., AppTest]) -> None:
    page = open_page()
    page.pills(key=f"{STUDY}-filter-states").set_value(["PRUNED"])
    page = pick(page, "figure", "Distribution")
    assert "0 of 14 completed trials meet the filter." in texts(page)
    assert not page.get("plotly_chart")
    assert "the study has 14" in texts(pick(page, "figure", "Importance")), "too few without a filter, too"


def test_ranges_on_the_axes_are_filter_conditions(open_page: Callable[..., AppTest]) -> None:
    page = open_page()
    page.session_state[f"{STUDY}-axis-ranges"] = {"Val accuracy": (-math.log10(1 - 0.75), 3.0), "optimizer": (0, 1)}
    page = clean(page.run())
    assert set(table(page)["trial"]) == {0, 1}
    assert page.button(key=f"{STUDY}-chip-objective").label == "Val accuracy ≥ 75% ✕"
    assert page.button(key=f"{STUDY}-chip-config/training/optimizer").label == "optimizer: sgd, adamw ✕"
    page.button(key=f"{STUDY}-chip-objective").click()
    page = clean(page.run())
    assert page.session_state[f"{STUDY}-axis-ranges"] == {"optimizer": (0, 1)}, "the range is gone from the axis too"
    page.session_state[f"{STUDY}-axis-ranges"] = {}
    assert len(table(clean(page.run()))) == 16


def test_all_columns_on_request(open_page: Callable[..., AppTest]) -> None:
    page = open_page()
    page.button(key=f"{STUDY}-columns-all").click()
    page = clean(page.run())
    assert {"node", "seed", "metric/val_accuracy", "config/data/noise"} <= set(table(page).columns)
    page.multiselect(key=f"{STUDY}-columns").set_value(["trial", "node"])
    page.pills(key=f"{STUDY}-filter-states").set_value(["COMPLETED"])
    page = clean(page.run())
    assert list(table(page).columns) == ["trial", "node"], "the chosen columns stay"
    page.button(key=f"{STUDY}-columns-telling").click()
    assert "node" not in table(clean(page.run()))


def test_the_table_draws_each_curve(open_page: Callable[..., AppTest]) -> None:
    curves = table(open_page()).set_index("trial")["curve"]
    assert list(curves[0]) == pytest.approx([0.89, 0.9])
    assert len(curves[1]) == 1
    assert curves[3] is None, "it failed before its first epoch"


def test_numbers_of_the_table_have_four_significant_digits(open_page: Callable[..., AppTest]) -> None:
    formats = {
        name: config.get("type_config", {}).get("format")
        for name, config in json.loads(open_page().dataframe[0].proto.columns).items()
    }
    assert formats["config/training/learning_rate"] == formats["duration_s"] == "%.4g"
    assert formats["objective"] == "percent"
    assert formats["model_parameters"] == "%,d"
    assert formats["trial"] is None, "a number that counts nothing has no comma"


def test_large_numbers_of_the_table_have_commas(
    open_page: Callable[..., AppTest], results: Path, tmp_path: Path
) -> None:
    root = tmp_path / "results"
    shutil.copytree(results, root)
    file = root / "trials" / f"study={STUDY}" / "data.parquet"
    written = pq.read_table(file)
    column = written.column_names.index("duration_s")
    long = pa.array([12345.6] * len(written), written.schema.field(column).type)
    pq.write_table(written.set_column(column, written.schema.field(column), long), file)
    columns = json.loads(open_page(root=root).dataframe[0].proto.columns)
    assert columns["duration_s"]["type_config"]["format"] == "%,.0f"


def test_what_identifies_a_trial_stays_at_the_left(open_page: Callable[..., AppTest]) -> None:
    columns = json.loads(open_page().dataframe[0].proto.columns)
    assert {name for name, config in columns.items() if config.get("pinned")} == {"trial", "state", "objective"}


def test_a_curve_of_one_value_has_no_range_of_no_height(open_page: Callable[..., AppTest]) -> None:
    page = open_page()
    page.pills(key=f"{STUDY}-filter-states").set_value(["PRUNED"])
    curve = json.loads(clean(page.run()).dataframe[0].proto.columns)["curve"]["type_config"]
    assert (curve.get("y_min"), curve.get("y_max")) == (None, None)


def test_cards_come_in_pages_and_choose_for_the_comparison(open_page: Callable[..., AppTest]) -> None:
    page = pick(open_page(), "view", "Gallery")
    boxes = [box for box in page.checkbox if box.label == "Compare"]
    assert len(boxes) == 12
    said = texts(page)
    assert "Val accuracy **90%**" in said
    assert "Trial 3" not in said, "what failed comes last"
    for number in (0, 2):
        page.checkbox(key=f"{STUDY}-card-{number}").check()
        page = clean(page.run())
    page.number_input(key=f"{STUDY}-gallery-page").set_value(2)
    page = clean(page.run())
    assert len([box for box in page.checkbox if box.label == "Compare"]) == 4
    assert "error: ValueError" in texts(page)
    page = pick(page, "view", "Compare")
    compared = table(page)
    assert list(compared.columns) == ["What", "Differs", "Trial 0", "Trial 2"]
    rows = compared.set_index("What")
    assert [text.replace(" ", "") for text in rows.loc["Val accuracy"]][:3] == ["≠", "★90%", "70%"]
    assert len(page.get("plotly_chart")) == 2, "their curves"
    assert set(compared["Differs"]) == {"≠"}
    page.toggle(key=f"{STUDY}-compared-only").set_value(False)
    everything = table(clean(page.run())).set_index("What")
    assert everything.loc["batch_size", "Differs"] == ""
    assert everything.loc["batch_size", "Trial 0"] == "500"


def test_the_comparison_holds_to_the_filter(open_page: Callable[..., AppTest]) -> None:
    page = pick(open_page(), "view", "Compare")
    page.session_state[f"{STUDY}-compared"] = [0, 1, 2]
    page.pills(key=f"{STUDY}-filter-states").set_value(["COMPLETED"])
    page = clean(page.run())
    assert list(table(page).columns) == ["What", "Differs", "Trial 0", "Trial 2"]
    assert "Hidden by the filter: trial 1." in texts(page)
    page.multiselect(key=f"{STUDY}-compared-choice").set_value([0, 2, 4])
    page = clean(page.run())
    assert page.session_state[f"{STUDY}-compared"] == [1, 0, 2, 4]
    page.button(key=f"{STUDY}-chip-state").click()
    assert list(table(clean(page.run())).columns)[2:] == ["Trial 1", "Trial 0", "Trial 2", "Trial 4"]
    page.pills(key=f"{STUDY}-filter-states").set_value(["COMPLETED"])
    page = clean(page.run())
    page.multiselect(key=f"{STUDY}-compared-choice").set_value([0, 2, 4, 5, 6, 7])
    assert clean(page.run()).session_state[f"{STUDY}-compared"] == [0, 2, 4, 5, 6, 7], "no more than fit"


def test_the_comparison_colors_the_best_and_what_differs(open_page: Callable[..., AppTest]) -> None:
    page = pick(open_page(), "view", "Compare")
    page.session_state[f"{STUDY}-compared"] = [0, 2]
    page = clean(page.run())
    best, differs = "rgba(0, 114, 178", "rgba(250, 176, 5"
    styles = page.dataframe[0].proto.arrow_data.styler.styles
    assert best in styles
    assert differs not in styles, "every listed row differs"
    page.toggle(key=f"{STUDY}-compared-only").set_value(False)
    page = clean(page.run())
    styles = page.dataframe[0].proto.arrow_data.styler.styles
    assert best in styles
    assert differs in styles
    icons = [block.proto.popover.icon for block in page.get("popover")]
    assert icons.count(":material/download:") == 2, "the curves can be saved, too"


def test_too_few_to_compare(open_page: Callable[..., AppTest]) -> None:
    page = pick(open_page(), "view", "Compare")
    assert "Choose two to six trials here" in texts(page)


def test_downloads_hold_every_column_of_the_selection(
    results: Path, monkeypatch: pytest.MonkeyPatch, make_study: Any
) -> None:
    monkeypatch.syspath_prepend(str(UI))
    import streamlit as st
    import trial_table

    given: dict[str, Any] = {}

    class Place:
        def download_button(self, label: str, data: Callable[[], bytes], name: str, *rest: Any, **named: Any) -> None:
            given[name] = (label, data())

    monkeypatch.setattr(st, "container", lambda **options: Place())
    trials = pd.read_parquet(results / "trials" / f"study={STUDY}")
    trial_table.show_downloads(STUDY, trials.head(2))
    label, csv = given[f"{STUDY}.csv"]
    assert label == "CSV (2 trials)"
    assert list(pd.read_csv(io.BytesIO(csv)).columns) == list(trials.columns)
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(given[f"{STUDY}.parquet"][1])), trials.head(2))
    for name in [name for name in sys.modules if str(UI) in str(getattr(sys.modules[name], "__file__", ""))]:
        monkeypatch.delitem(sys.modules, name)


def test_an_empty_store(open_page: Callable[..., AppTest], tmp_path: Path) -> None:
    page = open_page(None, tmp_path / "nothing")
    assert page.header[0].value == "Trials"
    assert "There are no studies yet. Start a sweep on the **Sweep** page" in texts(page)


def test_a_study_in_which_nothing_has_ended(open_page: Callable[..., AppTest]) -> None:
    page = open_page("not-begun")
    assert "No trial of this study has ended. `tune-app resume not-begun` continues it." in texts(page)


def test_a_study_that_only_failed(open_page: Callable[..., AppTest]) -> None:
    page = open_page("all-failed")
    said = texts(page)
    assert "No trial of this study completed, so there is no best one: 2 failed. Failures by kind: 2 error." in said
    assert "The first one: `ValueError: no [/bracket] fits" in said
    assert [metric.label for metric in page.metric] == ["Trials", "Cost"]
    assert len(table(page)) == 2


def test_a_store_that_is_being_written(open_page: Callable[..., AppTest], results: Path) -> None:
    for name, words in (
        ("not-begun", "The sweep is running, and its results will appear here."),
        (STUDY, "The sweep is running: 14 completed, 1 pruned, 1 failed so far. This page follows it."),
    ):
        with Store(results).study(name).writing():
            assert words in texts(open_page(name))


def test_a_study_that_was_deleted(
    open_page: Callable[..., AppTest], tmp_path: Path, make_study: Any, make_spec: Callable[..., Spec]
) -> None:
    make_study(tmp_path / "results", replace(make_spec(), name="left"))
    make_study(tmp_path / "results", replace(make_spec(), name="gone"))
    page = open_page("gone", tmp_path / "results")
    for kind in ("studies/gone", "trials/study=gone", "epochs/study=gone"):
        shutil.rmtree(tmp_path / "results" / kind)
    page = clean(page.run())
    assert "The study `gone` is no longer in the store. This is the newest one, `left`." in texts(page)
    assert len(table(page)) == 5


def test_the_band_says_how_sure_and_how_large_the_gain_is(
    open_page: Callable[..., AppTest], tmp_path: Path, make_study: Any, make_spec: Callable[..., Spec]
) -> None:
    root = tmp_path / "results"
    make_study(root, make_spec(budget={"trials": 3, "epochs": 8}), ends=("COMPLETED", "COMPLETED", "PRUNED"))
    for kind, column in (("trials", "objective"), ("epochs", "metric/val_accuracy")):
        file = root / kind / f"study={STUDY}" / "data.parquet"
        written = pq.read_table(file)
        noisy = [
            0.95 + 0.01 * (-1) ** place if trial == 1 else value
            for place, (trial, value) in enumerate(
                zip(written["trial"].to_pylist(), written[column].to_pylist(), strict=True)
            )
        ]
        place = written.column_names.index(column)
        pq.write_table(written.set_column(place, written.schema.field(place), pa.array(noisy, pa.float64())), file)
    winner, lead, *_ = open_page(root=root).metric
    assert winner.label.startswith("Best val accuracy, trial 1")
    assert re.fullmatch(r"9\d(\.\d+)?% ± 1(\.\d)?%", winner.value)
    assert re.fullmatch(r"\d(\.\d+)? pp better than trial 0", winner.delta)
    assert lead.label == "Lead over trial 0"
    assert lead.delta == "more than its own spread"
