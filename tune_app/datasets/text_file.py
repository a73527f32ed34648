"""The user's own text: one file in UTF-8."""

from __future__ import annotations

import codecs
from pathlib import Path

from tune_app.datasets.dataset import Dataset
from tune_app.datasets.split import split_text
from tune_app.errors import InputError

MIN_CHARACTERS = 100


def load_text_file(path: Path) -> Dataset:
    """Load a text file; the first nine tenths of its characters train, the last tenth tests.

    Raises:
        InputError: the file cannot be read, is not UTF-8, or has fewer than 100 characters.
    """
    text = read_text(path)
    if len(text) < MIN_CHARACTERS:
        raise InputError(
            f"the text must have at least {MIN_CHARACTERS} characters, but has {len(text)}",
            where=str(path),
            hint="use a longer text; a model needs hundreds of thousands of characters to learn from",
        )
    train, test = split_text(text)
    return Dataset(name=path.name, kind="text", train=train, test=test)


def read_text(path: Path) -> str:
    """Read a file in UTF-8, with or without a byte order mark; line ends stay as they are.

    Raises:
        InputError: it cannot be read, or is not UTF-8; says on which line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"the file must be readable, but {error.strerror}", where=str(path)) from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        likely = "UTF-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "ISO-8859-1"
        raise InputError(
            f"the file must be UTF-8 text, but has the byte {content[error.start]:#04x}",
            where=f"{path}:{line}",
            hint=f"convert it, for example with `iconv -f {likely} -t UTF-8`",
        ) from None
