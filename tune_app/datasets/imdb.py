"""IMDB: film reviews, negative or positive (Maas et al., Learning Word Vectors for Sentiment Analysis, ACL 2011)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tune_app.dataset import Arrays, Dataset
from tune_app.datasets.archive import read_tar
from tune_app.datasets.entry import Entry, RemoteFile
from tune_app.datasets.split import shuffled
from tune_app.errors import InputError

CLASS_NAMES = ("neg", "pos")
REVIEW = re.compile(r"aclImdb/(train|test)/(neg|pos)/(\d+)_\d+\.txt")


def load_imdb(files: Sequence[Path]) -> Dataset:
    """Load the labelled reviews; the split is the official one, the order mixed by a fixed seed.

    Raises:
        InputError: the archive is damaged, holds a review that is not UTF-8, or lacks a part or a class.
    """
    (path,) = files
    rows: dict[str, list[tuple[int, int, str]]] = {"train": [], "test": []}
    for name, content in read_tar(path, lambda name: REVIEW.fullmatch(name) is not None):
        part, label, number = REVIEW.fullmatch(name).groups()  # type: ignore[union-attr]
        try:
            rows[part].append((CLASS_NAMES.index(label), int(number), content.decode()))
        except UnicodeDecodeError:
            raise InputError("a review must be text in UTF-8", where=f"{path}:{name}") from None
    return Dataset(
        name="imdb",
        kind="labelled_text",
        train=_part(rows["train"], path, "train"),
        test=_part(rows["test"], path, "test"),
        info={"classes": len(CLASS_NAMES), "class_names": CLASS_NAMES},
    )


def _part(rows: list[tuple[int, int, str]], path: Path, part: str) -> Arrays:
    found = {label for label, _, _ in rows}
    if len(found) < len(CLASS_NAMES):
        raise InputError(f"the archive must hold reviews in aclImdb/{part}/neg and …/pos", where=str(path))
    rows.sort()
    return shuffled(
        {
            "texts": np.array([text for _, _, text in rows], dtype=object),
            "labels": np.array([label for label, _, _ in rows], dtype=np.int64),
        }
    )


IMDB = Entry(
    name="imdb",
    kind="labelled_text",
    description="50,000 film reviews, negative or positive; official split 25,000 / 25,000",
    licence="none stated; its authors ask to be cited (Maas et al., ACL 2011)",
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
