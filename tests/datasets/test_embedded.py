"""The data sets that need no download: Python's own texts."""

from __future__ import annotations

import sysconfig
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tune_app.datasets import load_dataset
from tune_app.datasets.dataset import Dataset
from tune_app.datasets.embedded import PACKAGES
from tune_app.errors import WorkFailed
from tune_app.tasks.split import split_rows


def test_python_reference() -> None:
    data = load_dataset("python_reference")
    text = "".join(map(chr, np.concatenate([data.train["text"], data.test["text"]])))
    assert data.train["text"].dtype == np.uint32
    assert len(text) > 400_000
    assert len(data.test["text"]) == round(len(text) / 10)
    assert "The standard type hierarchy" in text
    assert load_dataset("python_reference").sha256() == data.sha256()


@pytest.fixture(scope="module")
def docs() -> Dataset:
    return load_dataset("stdlib_docs")


def test_stdlib_docs(docs: Dataset) -> None:
    assert docs.info == {"classes": 10, "class_names": PACKAGES}
    count = len(docs.train["texts"]) + len(docs.test["texts"])
    assert 1500 < count < 4000
    assert 0.1 < len(docs.test["texts"]) / count <= 0.2
    for part in (docs.train, docs.test):
        assert part["texts"].dtype == object
        assert set(part["labels"]) == set(range(10))
    assert not set(docs.train["texts"]) & set(docs.test["texts"])
    assert load_dataset("stdlib_docs").sha256() == docs.sha256()


def test_stdlib_docs_are_split_by_file(docs: Dataset) -> None:
    source = Path(sysconfig.get_path("stdlib"), "logging", "handlers.py").read_text()
    lines = {line.strip() for line in source.splitlines()}
    firsts = {
        name: sum(text.splitlines()[0] in lines and len(text) > 80 for text in part["texts"][part["labels"] == 4])
        for name, part in (("train", docs.train), ("test", docs.test))
    }
    assert firsts["train"] > 20  # all longer texts of the file are in the same part as the file
    assert firsts["test"] == 0


def test_stdlib_docs_are_validated_on_separate_files(docs: Dataset) -> None:
    groups = docs.train["groups"]
    training, validation = split_rows(len(groups), validation_fraction=0.2, training_fraction=1.0, groups=groups)
    assert not set(groups[training.numpy()]) & set(groups[validation.numpy()])
    assert len(set(groups)) > 50


def test_a_python_without_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(WorkFailed, match="there are none of `asyncio`"):
        load_dataset("stdlib_docs")


def test_tinyshakespeare(real_data: Callable[[str], Path]) -> None:
    data = load_dataset({"name": "tinyshakespeare", "path": str(real_data("tinyshakespeare"))})
    assert (len(data.train["text"]), len(data.test["text"])) == (1_003_855, 111_539)  # the first 90%, as in char-rnn
    assert "".join(map(chr, data.train["text"][:14])) == "First Citizen:"
