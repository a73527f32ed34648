"""A user's labeled texts: CSV and Parquet, and every error with its row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tune_app.datasets import load_dataset
from tune_app.errors import InputError

TEXTS = [f"text {number}" for number in range(20)]
CLASSES = ["good", "bad"] * 10


def load(path: Path, text: str = "review", label: str = "class") -> Any:
    return load_dataset({"kind": "table", "path": str(path), "text": text, "label": label})


def csv(folder: Path, content: str | bytes, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows(labels: list[Any] = CLASSES) -> str:
    return "id,review,class\n" + "".join(f"{n},text {n},{label}\n" for n, label in enumerate(labels))


def table(folder: Path, texts: Any = TEXTS, labels: Any = CLASSES) -> Path:
    parquet.write_table(pa.table({"review": texts, "class": labels}), folder / "a.parquet")
    return folder / "a.parquet"


def found(data: Any) -> set[tuple[str, str]]:
    return {
        (text, data.info["class_names"][label])
        for part in (data.train, data.test)
        for text, label in zip(part["texts"], part["labels"], strict=True)
    }


def test_csv(tmp_path: Path) -> None:
    data = load(csv(tmp_path, rows()))
    assert (data.kind, data.info) == ("labeled_text", {"classes": 2, "class_names": ("bad", "good")})
    assert found(data) == set(zip(TEXTS, CLASSES, strict=True))
    assert (data.train["texts"].dtype, data.train["labels"].dtype) == (np.dtype(object), np.dtype(np.int64))
    assert np.bincount(data.test["labels"]).tolist() == [2, 2]
    assert load(csv(tmp_path, rows())).sha256() == data.sha256()


def test_a_class_number_written_in_two_ways_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there are `1` and `1\.0`"):
        load(csv(tmp_path, rows(["1", "0", "1.0", "2"] * 5)))


def test_a_duplicate_heading(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 columns are called `review`"):
        load(csv(tmp_path, rows().replace("id,", "review,")))


def test_parquet_and_tsv_give_the_same_data(tmp_path: Path) -> None:
    data = load(csv(tmp_path, rows()))
    assert load(table(tmp_path)).sha256() == data.sha256()
    assert load(csv(tmp_path, rows().replace(",", "\t"), "a.tsv")).sha256() == data.sha256()


def test_quotes_long_lines_and_other_csv_features(tmp_path: Path) -> None:
    long = "x" * 200_000
    lines = [f'"a, ""quoted""\nline {n}",{n % 2}' for n in range(4)] + [f"{long},0", "été,1", ""]
    data = load(csv(tmp_path, "\ufeffreview,class\r\n" + "\r\n".join(lines)))
    assert {text for text, _ in found(data)} >= {'a, "quoted"\nline 0', long, "été"}


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([10, 2, 1, 10, 2, 1], ("1", "2", "10")),
        ([1.0, 2.0, 1.0, 2.0], ("1", "2")),
        ([True, False, True, False], ("False", "True")),
        (["b", "a", " b ", "a"], ("a", "b")),
    ],
)
def test_classes_and_their_order(labels: list[Any], names: tuple[str, ...], tmp_path: Path) -> None:
    assert load(table(tmp_path, TEXTS[: len(labels)], labels)).info["class_names"] == names
    if not isinstance(labels[0], float):
        assert load(csv(tmp_path, rows(labels))).info["class_names"] == names


CSV_FAULTS = {
    "an empty label": (rows().replace("text 3,bad", "text 3,"), ":5", "must have a class, but `class` is empty"),
    "an empty text": (rows().replace("text 3,bad", " ,bad"), ":5", "must have text, but `review` is"),
    "too few columns": (rows().replace("text 3,bad", "text 3"), ":5", "must have 3 columns like the header, but has 2"),
    "too many columns": (rows().replace("text 3,bad", "text,3,bad"), ":5", "like the header, but has 4"),
    "an open quote": (rows().replace("text 3", '"text 3'), ":21", "must be well-formed CSV"),
    "not UTF-8": (rows().replace("text 3", "t\xe9xt").encode("latin-1"), ":5", "UTF-8 text, but has the byte 0xe9"),
    "no such column": (rows().replace("review", "reviews"), "", "must be one of the table's, but got `review`"),
    "one class": (rows(["good"] * 20), "", "at least two classes, but all rows are `good`"),
    "no classes": (rows([f"{n / 7:.3f}" for n in range(20)]), "", "has 20 different values in 20 rows"),
    "a head alone": (rows([]), "", "must have rows"),
    "nothing": ("", "", "must be one of the table's"),
}


@pytest.mark.parametrize("fault", CSV_FAULTS)
def test_an_error_in_a_csv_file_says_where(fault: str, tmp_path: Path) -> None:
    content, line, message = CSV_FAULTS[fault]
    path = csv(tmp_path, content)
    with pytest.raises(InputError, match=message) as caught:
        load(path)
    assert caught.value.where == f"{path}{line}"


def test_the_nearest_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load(csv(tmp_path, rows()), text="reviews")
    assert "did you mean `review`? Valid: review, class, id" in caught.value.hint


PARQUET_FAULTS: dict[str, tuple[Any, Any, str, str]] = {
    "no label": (TEXTS, [*CLASSES[:3], None, *CLASSES[4:]], ":row 3", "must have a class, but `class` is empty"),
    "NaN": (TEXTS, [0.0, 1.0, float("nan"), *[1.0] * 17], ":row 2", "must have a class, but `class` is empty"),
    "a measure": (TEXTS, [n / 7 for n in range(20)], ":row 1", "must have a class, but `class` is 0.14"),
    "no text": ([*TEXTS[:3], None, *TEXTS[4:]], CLASSES, ":row 3", "must have text, but `review` is empty"),
    "numbers for texts": (list(range(20)), CLASSES, ":row 0", "must have text, but `review` is 0"),
    "lists for classes": (TEXTS, [[1]] * 20, ":row 0", r"must have a class, but `class` is \[1\]"),
}


@pytest.mark.parametrize("fault", PARQUET_FAULTS)
def test_an_error_in_a_parquet_file_says_where(fault: str, tmp_path: Path) -> None:
    texts, labels, row, message = PARQUET_FAULTS[fault]
    path = table(tmp_path, texts, labels)
    with pytest.raises(InputError, match=message) as caught:
        load(path)
    assert caught.value.where == f"{path}{row}"


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet at all, but long enough to have a foot"])
def test_a_file_that_is_not_parquet(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(InputError, match="must be a Parquet file, but "):
        load(tmp_path / "a.parquet")


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_no_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file or directory"):
        load(tmp_path / name)


def test_another_kind_of_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"one of \.csv, \.tsv, \.parquet, \.pq, but got a\.xlsx"):
        load(tmp_path / "a.xlsx")
