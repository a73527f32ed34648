"""Reuters-21578: newswire of 1987 by topic (Lewis, Reuters-21578 text categorization test collection, 1997)."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tune_app.datasets.archive import read_tar
from tune_app.datasets.dataset import Arrays, Dataset
from tune_app.datasets.entry import Entry, RemoteFile
from tune_app.datasets.split import shuffled
from tune_app.errors import InputError

FILE = re.compile(r"(?:.*/)?reut2-\d{3}\.sgm")
STORY = re.compile(
    r'<REUTERS TOPICS="YES" LEWISSPLIT="(TRAIN|TEST)"[^>]*>.*?<TOPICS>(.*?)</TOPICS>.*?<TEXT[^>]*>(.*?)</TEXT>',
    re.DOTALL,
)
STORY_END = "</REUTERS>"
TOPIC = re.compile(r"<D>(.*?)</D>")
DATELINE = re.compile(r"<(?:AUTHOR|DATELINE)>.*?</(?:AUTHOR|DATELINE)>", re.DOTALL)
TAG = re.compile(r"<[^>]*>")
CONTROL = re.compile(r"&#\d+;")
"""Control characters of the wire, such as ``&#3;`` for the end of a text."""


def load_reuters(files: Sequence[Path]) -> Dataset:
    """Load the stories of one topic, title and body, in the modified Apte split.

    That split is the collection's own (README, VIII.B): LEWISSPLIT is TRAIN or TEST and TOPICS is YES. Kept are stories
    with exactly one topic, of topics that both parts have: 52 of them in the whole collection, with about 6,500 stories
    to train and 2,570 to test, known as R52. Classes are in alphabetical order; a fixed seed mixes the stories.

    Raises:
        InputError: the archive is damaged, or does not have two topics that are in both parts.
    """
    (path,) = files
    stories: dict[str, list[tuple[str, str]]] = {"TRAIN": [], "TEST": []}
    for _, content in sorted(read_tar(path, lambda name: FILE.fullmatch(name) is not None)):
        # One file has a byte that is not ASCII; the collection states no encoding.
        for story in content.decode("latin-1").split(STORY_END):
            if (found := STORY.search(story)) and len(topics := TOPIC.findall(found[2])) == 1:
                stories[found[1]].append((topics[0], _text(found[3])))
    train, test = stories["TRAIN"], stories["TEST"]
    classes = sorted({topic for topic, _ in train} & {topic for topic, _ in test})
    if len(classes) < 2:
        raise InputError(
            f"the archive must hold files reut2-NNN.sgm with two topics in both parts, but holds {len(classes)}",
            where=str(path),
        )
    return Dataset(
        name="reuters",
        kind="labeled_text",
        train=_part(train, classes),
        test=_part(test, classes),
        info={"classes": len(classes), "class_names": tuple(classes)},
    )


def _text(marked: str) -> str:
    plain = html.unescape(TAG.sub(" ", CONTROL.sub("", DATELINE.sub("", marked))))
    return "\n".join(" ".join(line.split()) for line in plain.splitlines() if line.strip())


def _part(stories: list[tuple[str, str]], classes: list[str]) -> Arrays:
    numbers = {topic: number for number, topic in enumerate(classes)}
    kept = [(numbers[topic], text) for topic, text in stories if topic in numbers]
    return shuffled(
        {
            "texts": np.array([text for _, text in kept], dtype=object),
            "labels": np.array([number for number, _ in kept], dtype=np.int64),
        }
    )


REUTERS = Entry(
    name="reuters",
    kind="labeled_text",
    description="about 9,100 newswire stories of one topic, 52 topics (R52); ModApte split, about 6,500 / 2,570",
    license="free for research purposes only; copyright Reuters Ltd.",
    load=load_reuters,
    files=(
        RemoteFile(
            "reuters21578.tar.gz",
            ("http://archive.ics.uci.edu/ml/machine-learning-databases/reuters21578-mld/reuters21578.tar.gz",),
            "sha256:3bae43c9b14e387f76a61b6d82bf98a4fb5d3ef99ef7e7075ff2ccbcf59f9d30",
            8_150_596,
        ),
    ),
    archives="*.tar.gz",
    slow=True,
    terms=(
        "The copyright for the text of newswire articles and Reuters annotations in the Reuters-21578 collection "
        "resides with Reuters Ltd. Reuters Ltd. and Carnegie Group, Inc. have agreed to allow the free distribution of "
        "this data for research purposes only. If you publish results based on this data set, please acknowledge its "
        'use, refer to the data set by the name "Reuters-21578, Distribution 1.0", and inform your readers of the '
        "current location of the data set."
    ),
)
