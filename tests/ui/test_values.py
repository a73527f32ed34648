"""Text shown as Markdown: our own messages, and text that others wrote."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tune_app.errors import InputError

sys.path.insert(0, str(Path(__file__).parents[2] / "ui"))

from values import escaped, sentence


def test_the_hint_of_an_error_keeps_its_line() -> None:
    error = InputError("`task` must name a module", where="a_b.yaml:3 task", hint="looked in `here`")
    assert sentence(error) == "a\\_b.yaml\\:3 task\\: `task` must name a module  \nlooked in `here`"


@pytest.mark.parametrize("text", ["$x$ and $y$", "<b>", "[3, 4](there)", ":red[a]", "**loud**", "a ` alone"])
def test_markdown_that_is_not_ours_is_shown_literally(text: str) -> None:
    assert sentence(text) == escaped(text)
    for mark in "$<[:*`":
        assert text.count(mark) == escaped(text).count(f"\\{mark}")


def test_a_bracket_in_code_does_not_end_the_color_around_it() -> None:
    assert sentence("but got `1e]`") == "but got \\`1e\\]\\`"
