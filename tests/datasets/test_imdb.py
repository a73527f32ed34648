"""IMDB: labels, the official split, and missing or damaged files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tune_app.datasets import load_dataset
from tune_app.errors import InputError

Make = Callable[..., Path]
REVIEWS = {
    "aclImdb/README": b"no review",
    "aclImdb/train/unsup/0_0.txt": b"without a label",
    "aclImdb/train/neg/0_2.txt": b"bad",
    "aclImdb/train/neg/10_1.txt": "très mauvais".encode(),
    "aclImdb/train/pos/1_9.txt": b"good",
    "aclImdb/test/neg/0_1.txt": b"awful",
    "aclImdb/test/pos/0_10.txt": b"great",
}


def load(path: Path) -> Any:
    return load_dataset({"name": "imdb", "path": str(path)})


def test_reviews_and_labels(make_tar: Make) -> None:
    data = load(make_tar(REVIEWS))
    assert data.info == {"classes": 2, "class_names": ("neg", "pos"), "official": False}
    rows = set(zip(data.train["texts"], data.train["labels"], strict=True))
    assert rows == {("bad", 0), ("très mauvais", 0), ("good", 1)}
    assert set(zip(data.test["texts"], data.test["labels"], strict=True)) == {("awful", 0), ("great", 1)}


def test_the_order_does_not_depend_on_the_archive(make_tar: Make) -> None:
    data = load(make_tar(REVIEWS))
    turned = load(make_tar(dict(reversed(REVIEWS.items())), name="turned.tar.gz"))
    assert turned.sha256() == data.sha256()


FILMS = {
    "aclImdb/train/urls_neg.txt": b"".join(
        b"http://www.imdb.com/title/tt%07d/usercomments\n" % (n // 2) for n in range(11)
    ),
    "aclImdb/train/urls_pos.txt": b"http://www.imdb.com/title/tt0000005/usercomments\n" * 2,
}


def test_the_reviews_of_a_film_are_a_group(make_tar: Make) -> None:
    train = load(make_tar(REVIEWS | FILMS)).train
    film = dict(zip(train["texts"], train["groups"].tolist(), strict=True))
    assert film["très mauvais"] == film["good"] != film["bad"]
    assert "groups" not in load(make_tar(REVIEWS, name="without.tar.gz")).train
    assert "groups" not in load(make_tar(REVIEWS | FILMS)).test


@pytest.mark.parametrize("lacks", ["aclImdb/train/urls_pos.txt", "a line"])
def test_films_for_only_some_reviews(make_tar: Make, lacks: str) -> None:
    films = {name: content if lacks in FILMS else content[:100] for name, content in FILMS.items() if name != lacks}
    with pytest.raises(InputError, match=r"must name the film of either all reviews or none in train/urls_neg\.txt"):
        load(make_tar(REVIEWS | films))


def test_part_of_imdb(real_data: Callable[[str], Path]) -> None:
    data = load(real_data("imdb"))
    assert Counter(data.train["labels"].tolist()) == Counter(data.test["labels"].tolist()) == {0: 1000, 1: 1000}
    assert 400 < data.train["labels"][:1000].sum() < 600  # shuffled: the first rows have both classes
    assert load(real_data("imdb")).sha256() == data.sha256()  # the cached copy is the same


def test_a_missing_class(make_tar: Make) -> None:
    lacking = {name: content for name, content in REVIEWS.items() if "test/pos" not in name}
    with pytest.raises(InputError, match="must hold reviews in aclImdb/test/neg and …/pos"):
        load(make_tar(lacking))


def test_a_review_that_is_not_text(make_tar: Make) -> None:
    with pytest.raises(InputError, match="must be text in UTF-8") as caught:
        load(make_tar(REVIEWS | {"aclImdb/train/neg/0_2.txt": b"\xff"}))
    assert caught.value.where.endswith("made.tar.gz:aclImdb/train/neg/0_2.txt")


def test_a_folder_with_two_archives(make_tar: Make) -> None:
    make_tar(REVIEWS)
    path = make_tar(REVIEWS, name="other.tar.gz")
    with pytest.raises(InputError, match=r"must contain its files, but lacks aclImdb_v1\.tar\.gz"):
        load(path.parent)
    assert len(load(path).train["texts"]) == 3  # the path of the file selects one of them
