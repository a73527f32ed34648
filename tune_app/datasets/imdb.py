"""IMDB: film reviews, negative or positive (Maas et al., Learning Word Vectors for Sentiment Analysis, ACL 2011)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tune_app.datasets.archive import read_tar
from tune_app.datasets.dataset import Arrays, Dataset
from tune_app.datasets.entry import Entry, RemoteFile
from tune_app.datasets.split import shuffled
from tune_app.errors import InputError

CLASS_NAMES = ("neg", "pos")
REVIEW = re.compile(r"aclImdb/(train|test)/(neg|pos)/(\d+)_\d+\.txt")
ADDRESSES = re.compile(r"aclImdb/train/urls_(neg|pos)\.txt")
"""A line for each review of the part, in the order of their numbers, from 0: the page of its film."""
FILM = re.compile(r"/title/(tt\d+)")


def load_imdb(files: Sequence[Path]) -> Dataset:
    """Load the labeled reviews; the split is the official one, the order mixed by a fixed seed.

    A film has up to 30 reviews. The official parts share no films, and if the archive names the film of each review,
    as the official one does, the reviews of a film are one group, so that validation also has separate films.

    Raises:
        InputError: the archive is damaged, holds a review that is not UTF-8, lacks a part or a class, or only names the
            films of some reviews.
    """
    (path,) = files
    rows: dict[str, list[tuple[int, int, str]]] = {"train": [], "test": []}
    films: dict[str, list[str]] = {}
    for name, content in read_tar(path, lambda name: bool(REVIEW.fullmatch(name) or ADDRESSES.fullmatch(name))):
        if found := ADDRESSES.fullmatch(name):
            films[found[1]] = FILM.findall(content.decode("latin-1"))
            continue
        part, label, number = REVIEW.fullmatch(name).groups()  # type: ignore[union-attr]
        try:
            rows[part].append((CLASS_NAMES.index(label), int(number), content.decode()))
        except UnicodeDecodeError:
            raise InputError("a review must be text in UTF-8", where=f"{path}:{name}") from None
    return Dataset(
        name="imdb",
        kind="labeled_text",
        train=_part(rows["train"], path, "train", films),
        test=_part(rows["test"], path, "test"),
        info={"classes": len(CLASS_NAMES), "class_names": CLASS_NAMES},
    )


def _part(
    rows: list[tuple[int, int, str]], path: Path, part: str, films: Mapping[str, Sequence[str]] | None = None
) -> Arrays:
    found = {label for label, _, _ in rows}
    if len(found) < len(CLASS_NAMES):
        raise InputError(f"the archive must hold reviews in aclImdb/{part}/neg and …/pos", where=str(path))
    rows.sort()
    groups = {"groups": _groups(rows, path, films)} if films else {}
    return shuffled(
        {
            "texts": np.array([text for _, _, text in rows], dtype=object),
            "labels": np.array([label for label, _, _ in rows], dtype=np.int64),
            **groups,
        }
    )


def _groups(rows: list[tuple[int, int, str]], path: Path, films: Mapping[str, Sequence[str]]) -> np.ndarray:
    """A number for each row, the same for reviews of the same film."""
    try:
        titles = [films[CLASS_NAMES[label]][number] for label, number, _ in rows]
    except (KeyError, IndexError):
        raise InputError(
            "the archive must name the film of either all reviews or none in train/urls_neg.txt and urls_pos.txt",
            where=str(path),
        ) from None
    numbers: np.ndarray = np.unique(titles, return_inverse=True)[1].astype(np.int64)
    return numbers


IMDB = Entry(
    name="imdb",
    kind="labeled_text",
    description="50,000 film reviews, negative or positive; official split 25,000 / 25,000",
    license="none stated; its authors ask for a citation (Maas et al., ACL 2011)",
    load=load_imdb,
    files=(
        RemoteFile(
            "aclImdb_v1.tar.gz",
            ("https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",),
            "sha256:c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe",
            84_125_825,
        ),
    ),
    archives="*.tar.gz",
    slow=True,
)
