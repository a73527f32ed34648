"""The Studies page: all studies of the store, and a few side by side."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tune_app.spaces.spec import Spec

UI = Path(__file__).parents[2] / "ui"
SCRIPT = f"""
import sys
sys.path.insert(0, {str(UI)!r})
import studies_page
studies_page.show()
"""


@pytest.fixture
def open_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    monkeypatch.setenv("TUNE_APP_STORE", str(tmp_path))

    def run(*compared: str) -> AppTest:
        page = AppTest.from_string(SCRIPT, default_timeout=60)
        page.session_state["studies-compared"] = list(compared)
        page.run()
        assert not page.exception, page.exception
        return page

    return run


def test_all_studies_and_two_of_them_side_by_side(
    open_page: Callable[..., AppTest], tmp_path: Path, make_study: Any, make_spec: Callable[..., Spec]
) -> None:
    make_study(tmp_path, make_spec(name="first"))
    make_study(tmp_path, make_spec(name="second", search={"seed": 1}))
    make_study(tmp_path, make_spec(name="losses", objective={"metric": "val_loss"}))
    (tmp_path / "studies" / "broken").mkdir()
    (tmp_path / "studies" / "broken" / "spec.yaml").write_text("[")
    page = open_page()
    table = page.dataframe[0].value.set_index("Study")
    assert table.loc["first", ["Trials", "Completed", "Best", "Best trial"]].tolist() == ["5/5", 3, "90%", "0"]
    assert "**broken**" in page.error[0].value
    page = open_page("first", "second")
    assert len(page.get("plotly_chart")) == 1
    assert [block.proto.popover.icon for block in page.get("popover")] == [":material/download:"]
    winners = page.dataframe[1].value
    assert list(winners.columns) == ["Winner's", "first", "second"]
    assert "learning_rate" in set(winners["Winner's"])
    assert re.fullmatch(r"\d+ of \d+ variables differ between the winners\.", page.caption[0].value)
    page = open_page("first", "losses")
    assert "**first** has val_accuracy, and **losses** has val_loss." in page.warning[0].value


def test_an_empty_store(open_page: Callable[..., AppTest]) -> None:
    assert "There are no studies yet" in open_page().info[0].value
