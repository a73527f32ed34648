"""Texts that come with every Python: its reference manual, and the docstrings of its standard library.

Both depend on the version of Python, so results are only comparable if the content hash is the same.
"""

from __future__ import annotations

import ast
import hashlib
import itertools
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tune_app.datasets.dataset import Arrays, Dataset
from tune_app.datasets.entry import Entry
from tune_app.datasets.split import TEST_FRACTION, shuffled, split_text
from tune_app.errors import WorkFailed

PACKAGES = (
    "asyncio",
    "email",
    "http",
    "importlib",
    "logging",
    "multiprocessing",
    "unittest",
    "urllib",
    "wsgiref",
    "xml",
)
"""Packages in every installation; tkinter and distutils, for example, may be missing."""

Documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def load_python_reference(_: Sequence[Path] = ()) -> Dataset:
    """Load the topics of Python's reference manual, as ``help()`` shows them, in alphabetical order.

    About half a million characters of English with code; the first nine tenths train, the last tenth tests.
    """
    from pydoc_data.topics import topics

    train, test = split_text("\n\n".join(topics[name] for name in sorted(topics)))
    return Dataset(name="python_reference", kind="text", train=train, test=test)


def load_stdlib_docs(_: Sequence[Path] = ()) -> Dataset:
    """Load the docstrings of ten packages of the standard library; the label is the package.

    All splits are by file, so that what is measured is a new file's subject and not the style of a file already seen:
    for each package, in the order of their names' hashes, the test files are those with at most a fifth of its texts
    in total. A text that occurs several times counts once, at its first place.

    Raises:
        WorkFailed: this Python has no source files of its standard library.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    seen: set[str] = set()
    train: list[tuple[str, int, int]] = []
    test: list[tuple[str, int, int]] = []
    numbers = itertools.count()
    for label, package in enumerate(PACKAGES):
        files = [_new_texts(path, seen) for path in _files(folder, package)]
        left = TEST_FRACTION * sum(map(len, files))
        for texts, number in zip(files, numbers, strict=False):
            fits = len(texts) <= left
            left -= len(texts) if fits else 0
            (test if fits else train).extend((text, label, number) for text in texts)
    info = {"classes": len(PACKAGES), "class_names": PACKAGES}
    parts = {"train": _part(train), "test": _part(test, by_file=False)}
    return Dataset(name="stdlib_docs", kind="labeled_text", **parts, info=info)


def _files(folder: Path, package: str) -> list[Path]:
    found = [p for p in folder.joinpath(package).rglob("*.py") if not {"test", "tests"} & set(p.parts[-3:-1])]
    if not found:
        raise WorkFailed(
            f"`stdlib_docs` comes from Python's own source files, but there are none of `{package}`",
            where=str(folder),
            hint="use a Python whose standard library is in files",
        )
    # By hash, so that a file added in a later version moves few others between the parts.
    return sorted(found, key=lambda path: hashlib.sha256(path.relative_to(folder).as_posix().encode()).digest())


def _new_texts(path: Path, seen: set[str]) -> list[str]:
    new = [text for text in dict.fromkeys(_docstrings(path)) if text not in seen]
    seen.update(new)
    return new


def _part(rows: list[tuple[str, int, int]], by_file: bool = True) -> Arrays:
    """Texts, labels and, as groups, the files, so that validation also has separate files."""
    texts, labels, files = zip(*rows, strict=True)
    groups = {"groups": np.array(files, dtype=np.int64)} if by_file else {}
    return shuffled({"texts": np.array(texts, dtype=object), "labels": np.array(labels, dtype=np.int64), **groups})


def _docstrings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, Documented) and (text := ast.get_docstring(node)):
            yield text


PYTHON_REFERENCE = Entry(
    name="python_reference",
    kind="text",
    description="about 500,000 characters of Python's manual; split 90% / 10% in the order of the text",
    license="PSF-2.0",
    load=load_python_reference,
)

STDLIB_DOCS = Entry(
    name="stdlib_docs",
    kind="labeled_text",
    description="about 2,100 docstrings of Python's library, 10 packages as classes; split 80% / 20% by file",
    license="PSF-2.0",
    load=load_stdlib_docs,
)
