"""Reuters-21578: the ModApte split, stories with a single topic, and texts without markup."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tune_app.datasets import load_dataset
from tune_app.errors import InputError

Make = Callable[..., Path]


def story(topics: str, text: str = "", split: str = "TRAIN", judged: str = "YES", body: str = "x") -> str:
    marks = "".join(f"<D>{topic}</D>" for topic in topics.split())
    text = text or f"<TITLE>A TITLE</TITLE>\n<DATELINE>LONDON, Feb 26 - </DATELINE><BODY>{body}\nReuter\n&#3;</BODY>"
    head = f'<REUTERS TOPICS="{judged}" LEWISSPLIT="{split}" CGISPLIT="TRAINING-SET" OLDID="5544" NEWID="1">'
    return f"{head}\n<TOPICS>{marks}</TOPICS>\n<PLACES><D>usa</D></PLACES>\n<TEXT>&#2;\n{text}</TEXT>\n</REUTERS>\n"


def load(make_tar: Make, *stories: str) -> Any:
    path = make_tar({"lewis.dtd": b"", "reut2-000.sgm": ("<!DOCTYPE lewis>\n" + "".join(stories)).encode("latin-1")})
    return load_dataset({"name": "reuters", "path": str(path)})


def texts(part: Any, names: Any) -> set[tuple[str, str]]:
    return {(names[label], text) for text, label in zip(part["texts"], part["labels"], strict=True)}


BOTH = [story(topic, split=split) for topic in ("grain", "acq") for split in ("TRAIN", "TEST")]


def test_which_stories_are_used(make_tar: Make) -> None:
    data = load(
        make_tar,
        *BOTH,
        story("acq", body="AT&amp;T &lt;T&gt; pays 5 &lt; 6"),
        story("acq", text="<TITLE>BRIEF</TITLE>"),
        story("acq grain", body="two topics"),
        story("", body="no topic"),
        story("acq", body="not judged", judged="NO"),
        story("acq", body="not used", split="NOT-USED"),
        story("cocoa", body="in the training part only"),
    )
    names = data.info["class_names"]
    assert names == ("acq", "grain")
    plain = "A TITLE\nx\nReuter"
    found = {("acq", plain), ("grain", plain), ("acq", "BRIEF"), ("acq", "A TITLE\nAT&T <T> pays 5 < 6\nReuter")}
    assert texts(data.train, names) == found
    assert texts(data.test, names) == {("acq", plain), ("grain", plain)}


def test_a_byte_that_is_not_ascii(make_tar: Make) -> None:
    assert any("caf\xe9" in text for text in load(make_tar, *BOTH, story("acq", body="caf\xe9")).train["texts"])


def test_part_of_reuters(real_data: Callable[[str], Path]) -> None:
    data = load_dataset({"name": "reuters", "path": str(real_data("reuters"))})
    assert data.info["classes"] == 39  # out of 52 in the full collection
    assert (len(data.train["texts"]), len(data.test["texts"])) == (1351, 1434)
    assert {"earn", "acq", "crude"} <= set(data.info["class_names"])
    assert set(data.test["labels"]) == set(data.train["labels"]) == set(range(39))
    assert not any("<BODY>" in text or "&lt;" in text or "&#" in text for text in data.train["texts"])
    assert min(map(len, data.train["texts"])) > 10


def test_no_topics(make_tar: Make) -> None:
    with pytest.raises(InputError, match="with two topics in both parts, but holds 0"):
        load(make_tar, "nothing")
