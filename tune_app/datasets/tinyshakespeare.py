"""tinyshakespeare: 1.1 million characters of plays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tune_app.datasets.dataset import Dataset
from tune_app.datasets.entry import Entry, RemoteFile
from tune_app.datasets.split import split_text
from tune_app.datasets.text_file import read_text


def load_tinyshakespeare(files: Sequence[Path]) -> Dataset:
    """Load the text; the first nine tenths train, as in char-rnn, and the last tenth tests.

    Raises:
        InputError: the file is not UTF-8 text.
    """
    (path,) = files
    train, test = split_text(read_text(path))
    return Dataset(name="tinyshakespeare", kind="text", train=train, test=test)


TINYSHAKESPEARE = Entry(
    name="tinyshakespeare",
    kind="text",
    description="1,115,394 characters of Shakespeare; split 90% / 10% in the order of the text",
    license="public domain; its repository: MIT",
    load=load_tinyshakespeare,
    files=(
        RemoteFile(
            "input.txt",
            ("https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",),
            "sha256:86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            1_115_394,
        ),
    ),
)
