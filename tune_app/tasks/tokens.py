"""Texts as numbers: words, their vocabulary, and one row of token numbers per text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

PADDING, UNKNOWN = 0, 1
"""Token numbers of what follows the end of a text, and of a word that is not in the vocabulary."""
SIDES = ("end", "start")

_WORD = re.compile(r"\w+(?:'\w+)?|[^\w\s]")


def words_of(text: str, lowercase: bool) -> list[str]:
    """Words, with an inner apostrophe (``don't``), and every other character except spaces."""
    return _WORD.findall(text.lower() if lowercase else text)


def build_vocabulary(texts: Iterable[Sequence[str]], size: int, min_count: int) -> tuple[str, ...]:
    """The `size` most frequent words that occur `min_count` times or more; equal counts in alphabetical order.

    The word at position `i` has the token number `i` + 2, after `PADDING` and `UNKNOWN`.
    """
    counts: Counter[str] = Counter()
    for words in texts:
        counts.update(words)
    frequent = sorted((-count, word) for word, count in counts.items() if count >= min_count)
    return tuple(word for _, word in frequent[:size])


def encode(
    texts: Sequence[Sequence[str]], vocabulary: Sequence[str], max_length: int, truncation: str
) -> Mapping[str, np.ndarray]:
    """Texts, as words, as arrays.

    Args:
        max_length: words kept of a text.
        truncation: which part of a longer text to cut: its ``end`` or its ``start``.

    Returns:
        ``tokens`` (count, longest text or max_length) int32, filled up with `PADDING`, and ``lengths`` (count) int32,
        at least 1: a text without a word is one `UNKNOWN`.
    """
    number = {word: token for token, word in enumerate(vocabulary, start=UNKNOWN + 1)}
    rows = []
    for words in texts:
        kept = words[:max_length] if truncation == "end" else words[-max_length:]
        rows.append([number.get(word, UNKNOWN) for word in kept] or [UNKNOWN])
    lengths = np.array([len(row) for row in rows], dtype=np.int32)
    tokens = np.full((len(rows), int(lengths.max(initial=1))), PADDING, dtype=np.int32)
    for position, row in enumerate(rows):
        tokens[position, : len(row)] = row
    return {"tokens": tokens, "lengths": lengths}
