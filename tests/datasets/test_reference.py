"""How a search space names a data set: forms, titles, kinds, and errors with their place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tune_app.datasets import load_dataset
from tune_app.datasets.reference import dataset_kind, dataset_title, read_reference
from tune_app.datasets.registry import DATASETS
from tune_app.errors import InputError

TABLE = {"kind": "table", "path": "a.csv", "text": "review", "label": "class"}
GOOD: dict[str, tuple[Any, str, str]] = {
    "name": ("digits", "image", "digits"),
    "name in a mapping": ({"name": "imdb"}, "labeled_text", "imdb"),
    "own files": ({"name": "imdb", "path": "/data/imdb"}, "labeled_text", "imdb from /data/imdb"),
    "folder": ({"kind": "image_folder", "path": "x", "size": [32, 48], "channels": 3}, "image", "image_folder x"),
    "npz": ({"kind": "npz", "path": "x.npz"}, "image", "npz x.npz"),
    "table": (TABLE, "labeled_text", "table a.csv"),
    "text": ({"kind": "text_file", "path": "a.txt"}, "text", "text_file a.txt"),
}


@pytest.mark.parametrize("case", GOOD)
def test_kind_and_title_without_loading(case: str) -> None:
    reference, kind, title = GOOD[case]
    assert (dataset_kind(reference), dataset_title(reference)) == (kind, title)


FAULTS: dict[str, tuple[Any, str, str, str]] = {
    "unknown name": ("minst", "", "must be the name of a data set, but got `minst`", "did you mean `mnist`?"),
    "unknown name in a mapping": ({"name": "minst"}, ".name", "but got `minst`", "did you mean `mnist`?"),
    "unknown kind": ({"kind": "image_foldr", "path": "x"}, ".kind", "`image_foldr`", "did you mean `image_folder`?"),
    "a path for a name": ("reviews.csv", "", "but got `reviews.csv`", "or your own as {kind: image_folder|npz|table"),
    "both": ({"name": "mnist", "kind": "npz"}, "", "either `name` or `kind`, but has both", "a name, such as digits"),
    "neither": ({"path": "x"}, "", "either `name` or `kind`, but has path", "a name, such as digits"),
    "nothing": ({}, "", "either `name` or `kind`, but has nothing", "a name, such as digits"),
    "a number": (5, "", "a name or a mapping, but got 5", "a name, such as digits"),
    "a list for a name": ({"name": ["mnist"]}, ".name", "must be the name of a data set", "Valid: "),
    "unknown key": (TABLE | {"lable": "x"}, ".lable", "one of those below, but got `lable`", "did you mean `label`?"),
    "missing key": (
        {"kind": "table", "path": "a.csv", "text": "t"},
        ".label",
        "`label` is required",
        "label: The name",
    ),
    "no path": (
        {"kind": "npz"},
        ".path",
        "`path` is required, but `dataset` does not have it",
        "path: Path of",
    ),
    "an empty path": ({"kind": "npz", "path": ""}, ".path", "`path` .*at least 1 character", "path: Path of"),
    "a path that cannot be": ({"kind": "npz", "path": "a\0b"}, ".path", "`path` must match", "path: Path of"),
    "a number for a path": ({"kind": "npz", "path": 3}, ".path", "`path` must be a valid string, but got 3", "path: "),
    "one side": (
        {"kind": "image_folder", "path": "x", "size": [3]},
        ".size",
        "`size` must .*at least 2",
        "size: Height",
    ),
    "no size": (
        {"kind": "image_folder", "path": "x", "size": [0, 3]},
        ".size",
        "`size` .*greater than",
        "size: Height",
    ),
    "text for a size": (
        {"kind": "image_folder", "path": "x", "size": "3x3"},
        ".size",
        "`size` must be",
        "size: Height",
    ),
    "two channels": (
        {"kind": "image_folder", "path": "x", "channels": 2},
        ".channels",
        "must be 1 or 3",
        "channels: 1",
    ),
    "a path for an embedded one": (
        {"name": "digits", "path": "x"},
        ".path",
        "`digits` is embedded",
        "omit `path`",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_names_the_key_the_value_and_the_fix(fault: str) -> None:
    reference, place, message, hint = FAULTS[fault]
    with pytest.raises(InputError, match=message) as caught:
        read_reference(reference)
    assert caught.value.where == f"dataset{place}"
    assert hint in caught.value.hint


def test_the_caller_supplies_the_place_of_a_key() -> None:
    with pytest.raises(InputError) as caught:
        read_reference({"kind": "npz"}, lambda *path: f"a.yaml:4 {'.'.join(('dataset', *path))}")
    assert caught.value.where == "a.yaml:4 dataset.path"


def test_an_invalid_folder_of_the_users_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`path` must be a folder that exists, but got /no/such"):
        load_dataset({"name": "mnist", "path": "/no/such"})
    with pytest.raises(InputError, match="`path` must be a folder or a file that exists"):
        load_dataset({"name": "imdb", "path": "~no-such-user/imdb"})
    with pytest.raises(InputError, match=r"`gtsrb` must contain its files, but lacks GTSRB-Training_fixed\.zip"):
        load_dataset({"name": "gtsrb", "path": str(tmp_path)})


@pytest.mark.parametrize("path", ["x" * 5000, "/proc/1/mem/x"])
@pytest.mark.parametrize("kind", ["image_folder", "npz", "text_file", "table"])
def test_a_bad_path_always_raises_an_input_error(kind: str, path: str) -> None:
    columns = {"text": "a", "label": "b"} if kind == "table" else {}
    with pytest.raises(InputError):
        load_dataset({"kind": kind, "path": f"{path}.csv" if columns else path, **columns})
    with pytest.raises(InputError):
        load_dataset({"name": "imdb", "path": path})


def test_entries_describe_themselves() -> None:
    assert len(DATASETS) == 11
    for name, entry in DATASETS.items():
        assert entry.name == name
        assert entry.kind in ("image", "labeled_text", "text")
        assert entry.description
        assert entry.license
        for file in entry.files:
            algorithm, _, digest = file.checksum.partition(":")
            assert len(bytes.fromhex(digest)) == {"md5": 16, "sha256": 32}[algorithm]
            assert all(address.startswith(("https://", "http://")) for address in file.addresses)
            assert all(address.endswith(file.name) for address in file.addresses)
            assert file.bytes > 0
    for kind in ("image", "labeled_text", "text"):
        assert any(entry.kind == kind and not entry.files for entry in DATASETS.values())
