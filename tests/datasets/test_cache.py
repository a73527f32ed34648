"""The cache of slow files: it returns the same data set, which is rebuilt if it is damaged or cannot be cached."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from tune_app.datasets.cache import load_kept
from tune_app.datasets.dataset import Dataset
from tune_app.datasets.entry import Entry, RemoteFile

TEXTS = np.array(["one", "", "drei 😀", "four"], dtype=object)
DATA = Dataset(
    "slow",
    "labeled_text",
    {"texts": TEXTS, "labels": np.arange(4)},
    {"texts": TEXTS[:1], "labels": np.arange(1)},
    {"classes": 4, "class_names": ("a", "b", "c", "d")},
)


class Slow:
    """An entry that counts the reads of its files."""

    def __init__(self, folder: Path) -> None:
        self.reads = 0
        self.file = folder / "a.tar.gz"
        self.file.write_bytes(b"content")
        digest = hashlib.sha256(b"content").hexdigest()
        files = (RemoteFile("a.tar.gz", (), f"sha256:{digest}", 7),)
        self.entry = Entry("slow", "labeled_text", "", "", self._load, files, slow=True)

    def _load(self, _: object) -> Dataset:
        self.reads += 1
        return DATA

    def load(self, *, official: bool = False) -> Dataset:
        return load_kept(self.entry, [self.file], official=official)


@pytest.fixture
def slow(tmp_path: Path) -> Slow:
    return Slow(tmp_path)


@pytest.mark.parametrize("official", [True, False])
def test_read_once(official: bool, slow: Slow) -> None:
    loaded = [slow.load(official=official) for _ in range(3)]
    assert slow.reads == 1
    for data in loaded:
        assert (data.name, data.kind, data.info) == (DATA.name, DATA.kind, DATA.info)
        assert data.train["texts"].tolist() == TEXTS.tolist()
        assert data.train["labels"].flags.writeable
        assert data.sha256() == DATA.sha256()


def test_changed_files_are_read_again(slow: Slow) -> None:
    slow.load()
    slow.file.write_bytes(b"changed")
    slow.load()
    assert slow.reads == 2


@pytest.mark.parametrize("damage", ["cut", "changed", "emptied", "pickled"])
def test_a_damaged_cache_is_rebuilt(damage: str, slow: Slow, cache: Path) -> None:
    slow.load()
    (kept,) = cache.joinpath("slow").glob("*.npz")
    content = bytearray(kept.read_bytes())
    if damage == "pickled":
        np.savez(kept, info=np.array([{}], dtype=object))
    else:
        content[content.index(b"drei")] ^= 1
        kept.write_bytes({"cut": content[:-50], "changed": content, "emptied": b""}[damage])
    assert slow.load().sha256() == DATA.sha256()
    assert slow.reads == 2
    slow.load()
    assert slow.reads == 2
    assert [path.name for path in cache.joinpath("slow").glob("*.part")] == []


def test_an_unwritable_cache_folder(slow: Slow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_APP_DATA_DIR", str(slow.file))
    assert slow.load().sha256() == DATA.sha256()
    slow.load()
    assert slow.reads == 2
