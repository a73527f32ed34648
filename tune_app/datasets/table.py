"""The user's own texts with labels: a CSV or Parquet file."""

from __future__ import annotations

import csv
import io
import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tune_app.datasets.dataset import Dataset
from tune_app.datasets.labels import lonely_classes
from tune_app.datasets.split import set_apart
from tune_app.datasets.text_file import read_text
from tune_app.errors import InputError, nearest

DELIMITERS = {".csv": ",", ".tsv": "\t"}
PARQUET = (".parquet", ".pq")
Rows = list[tuple[str, Any, Any]]
"""The place of each row, its text and its label."""


def load_table(path: Path, text: str, label: str) -> Dataset:
    """Load the columns `text` and `label` of a ``.csv``, ``.tsv`` (with a header line, in UTF-8) or ``.parquet`` file.

    Labels may be strings, whole numbers or booleans. Classes are in numerical or alphabetical order. A fifth of each
    class is split off as the test part with a fixed seed, which also shuffles the order.

    Raises:
        InputError: the file cannot be read, lacks a column, or a row has no text or no class; says which row.
    """
    if path.suffix.lower() in DELIMITERS:
        rows = _read_csv(path, text, label)
    elif path.suffix.lower() in PARQUET:
        rows = _read_parquet(path, text, label)
    else:
        known = ", ".join([*DELIMITERS, *PARQUET])
        raise InputError(f"a table must be one of {known}, but got {path.name}", where="dataset.path")
    if not rows:
        raise InputError("a table must have rows, but has none below its header", where=str(path))
    for place, found, _ in rows:
        if not isinstance(found, str) or not found.strip():
            raise InputError(f"each row must have text, but `{text}` is {_shown(found)}", where=place)
    labels = [_class(value, place, label) for place, _, value in rows]
    names = _class_names(labels, str(path), label)
    numbers = {name: number for number, name in enumerate(names)}
    texts = np.array([found for _, found, _ in rows], dtype=object)
    classes = np.array([numbers[name] for name in labels], dtype=np.int64)
    train, test = ({"texts": texts[part], "labels": classes[part]} for part in set_apart(classes))
    info = {"classes": len(names), "class_names": tuple(names), **lonely_classes(train["labels"], names)}
    return Dataset(name=path.name, kind="labeled_text", train=train, test=test, info=info)


def _read_csv(path: Path, text: str, label: str) -> Rows:
    content = read_text(path)
    limit = csv.field_size_limit(sys.maxsize)  # default: 128 KiB, but long texts are fine
    try:
        rows = csv.reader(io.StringIO(content, newline=""), delimiter=DELIMITERS[path.suffix.lower()], strict=True)
        head = next(rows, [])
        columns = [_column(head, name, path) for name in (text, label)]
        read: Rows = []
        for row in rows:
            place = f"{path}:{rows.line_num}"
            if row and len(row) != len(head):
                raise InputError(
                    f"each row must have {len(head)} columns like the header, but has {len(row)}", where=place
                )
            if row:
                read.append((place, row[columns[0]], row[columns[1]]))
    except csv.Error as error:
        raise InputError(f"the file must be well-formed CSV, but {error}", where=f"{path}:{rows.line_num}") from None
    finally:
        csv.field_size_limit(limit)
    return read


def _read_parquet(path: Path, text: str, label: str) -> Rows:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            for name in (text, label):
                _column(file.schema_arrow.names, name, path)
            table = file.read(columns=list(dict.fromkeys((text, label))))
    except (OSError, pyarrow.ArrowException) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())[:200]
        raise InputError(f"the file must be a Parquet file, but {reason}", where=str(path)) from None
    columns = zip(table[text].to_pylist(), table[label].to_pylist(), strict=True)
    return [(f"{path}:row {number}", found, value) for number, (found, value) in enumerate(columns)]


def _column(names: Iterable[str], name: str, path: Path) -> int:
    names = list(names)
    if name not in names:
        raise InputError(
            f"a column must be one of the table's, but got `{name}`",
            where=str(path),
            hint=nearest(name, names) if names else "the table is empty",
        )
    if names.count(name) > 1:
        raise InputError(
            f"column names must be unique, but {names.count(name)} columns are called `{name}`",
            where=str(path),
            hint="rename all but one of them",
        )
    return names.index(name)


def _class(value: Any, place: str, label: str) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # pandas turns whole numbers into these in a column with gaps
    if not isinstance(value, (str, int)) or (isinstance(value, str) and not value.strip()):
        raise InputError(f"each row must have a class, but `{label}` is {_shown(value)}", where=place)
    return str(value).strip()


def _class_names(labels: list[str], where: str, label: str) -> list[str]:
    found = set(labels)
    if len(found) < 2:
        raise InputError(f"`{label}` must name at least two classes, but all rows are `{labels[0]}`", where=where)
    if len(found) > len(labels) / 2:
        raise InputError(
            f"`{label}` must name classes, but has {len(found):,} different values in {len(labels):,} rows",
            where=where,
            hint="choose a column whose values repeat; a class needs at least two rows",
        )
    _check_written_alike(found, where, label)
    try:
        return sorted(found, key=int)
    except ValueError:
        return sorted(found)


def _check_written_alike(found: set[str], where: str, label: str) -> None:
    """Reject a number written in two ways: it would be two classes."""
    numbers: dict[float, str] = {}
    for name in sorted(found):
        try:
            number = float(name)
        except ValueError:
            continue
        if number in numbers:
            raise InputError(
                f"`{label}` must write each class in only one way, but there are `{numbers[number]}` and `{name}`",
                where=where,
                hint="make them consistent; without quotes, pandas turns 1 into 1.0 in a column with gaps",
            )
        numbers[number] = name


def _shown(value: Any) -> str:
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return "empty"
    return repr(value)[:100]
