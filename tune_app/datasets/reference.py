"""References to data sets: one of ours by name, or the user's own as a mapping. Only checks, loads nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from tune_app.datasets.registry import DATASETS
from tune_app.errors import InputError, nearest
from tune_app.spaces.variable import DatasetReference

Where = Callable[..., str]
"""The place of a key of the reference: ``where("path")``; ``where()`` is the reference itself."""

Text = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]
Pixels = Annotated[int, Field(ge=1, le=4096)]


class _Keys(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class Named(_Keys):
    """One of our data sets, downloaded if it has files, or read from the user's files with the same layout."""

    name: Text
    """The name of one of our data sets; `tune-app data list` shows them."""
    path: Text | None = None
    """A folder with the data set's own files, or its one file, to read instead of the download."""

    @property
    def data_kind(self) -> str:
        """The kind of the data set, from its entry."""
        return DATASETS[self.name].kind

    @property
    def title(self) -> str:
        """How tables and messages call it."""
        return self.name if self.path is None else f"{self.name} from {self.path}"


class Own(_Keys):
    """A data set of the user's."""

    data_kind: ClassVar[str]
    kind: str
    """The format of the data."""
    path: Text
    """Path of the data, relative to the current folder."""

    @property
    def title(self) -> str:
        """How tables and messages call it."""
        return f"{self.kind} {self.path}"

    @property
    def location(self) -> Path:
        """The path, with ``~`` expanded."""
        return Path(os.path.expanduser(self.path))


class ImageFolder(Own):
    """A folder of images by class: one sub-folder per class, or ``train`` and ``test`` with one per class each."""

    data_kind = "image"
    kind: Literal["image_folder"]
    size: Annotated[list[Pixels], Field(min_length=2, max_length=2)] | None = None
    """Height and width to resize the images to; required if their sizes differ."""
    channels: Literal[1, 3] | None = None
    """1 for gray, 3 for color; if it is not given, 1 if all images are gray and 3 otherwise."""


class Npz(Own):
    """A NumPy archive with ``images`` and ``labels``, and optionally ``test_images`` and ``test_labels``."""

    data_kind = "image"
    kind: Literal["npz"]


class Table(Own):
    """A .csv, .tsv or .parquet file with a column of texts and one of classes."""

    data_kind = "labeled_text"
    kind: Literal["table"]
    text: Text
    """The name of the column with the texts."""
    label: Text
    """The name of the column with the classes."""


class TextFile(Own):
    """A UTF-8 text file."""

    data_kind = "text"
    kind: Literal["text_file"]


OWN_KINDS: dict[str, type[ImageFolder | Npz | Table | TextFile]] = {
    "image_folder": ImageFolder,
    "npz": Npz,
    "table": Table,
    "text_file": TextFile,
}
AnyReference = Named | ImageFolder | Npz | Table | TextFile
FORMS = "a name, such as digits, or your own data, such as {kind: image_folder, path: …}"


def default_where(*path: str) -> str:
    """The place of a key that does not come from a file."""
    return ".".join(("dataset", *path))


def read_reference(reference: DatasetReference, where: Where = default_where) -> AnyReference:
    """Check a reference to a data set; loading it checks whether its files exist.

    Raises:
        InputError: there is no such data set or kind, a key is unknown, missing or has a wrong value.
    """
    given = {"name": reference} if isinstance(reference, str) else reference
    if not isinstance(given, Mapping):
        raise InputError(f"`dataset` must be a name or a mapping, but got {given!r:.100}", where=where(), hint=FORMS)
    if ("name" in given) == ("kind" in given):
        found = "both" if "name" in given else ", ".join(map(str, given)) or "nothing"
        raise InputError(f"`dataset` must have either `name` or `kind`, but has {found}", where=where(), hint=FORMS)
    key, valid = ("kind", OWN_KINDS) if "kind" in given else ("name", DATASETS)
    value = given[key]
    if not isinstance(value, str) or value not in valid:
        place = where() if isinstance(reference, str) else where(key)
        raise InputError(
            f"`dataset` must be the name of a data set, but got `{value}`", where=place, hint=_nearest(value, key)
        )
    model = OWN_KINDS[value] if key == "kind" else Named
    try:
        read = model.model_validate(dict(given))
    except ValidationError as error:
        raise _input_error(error.errors(include_url=False)[0], model, where) from None
    if isinstance(read, Table) and read.text == read.label:
        raise InputError(
            f"`text` and `label` must be two columns, but both are `{read.text}`", where=where("label"), hint=FORMS
        )
    if isinstance(read, Named) and read.path is not None and not DATASETS[read.name].files:
        raise InputError(
            f"`path` only applies to a data set with files, but `{read.name}` is embedded",
            where=where("path"),
            hint="omit `path`",
        )
    return read


def dataset_kind(reference: DatasetReference, where: Where = default_where) -> str:
    """The kind of the data set in `reference`, without loading it: ``image``, ``labeled_text`` or ``text``.

    Raises:
        InputError: as `read_reference`.
    """
    return read_reference(reference, where).data_kind


def dataset_title(reference: DatasetReference) -> str:
    """The name in tables and messages of the data set in `reference`, in one line; even one that is not ours."""
    if isinstance(reference, str):
        return reference
    try:
        return read_reference(reference).title
    except InputError:  # for a user's own task, which interprets it itself
        return ", ".join(f"{key} {value}" for key, value in reference.items())


def own_files(named: Named) -> list[Path]:
    """The files of a `Named` with a path, in the order of its loader.

    They have the same names as the official ones; archives may also have other names.

    Raises:
        InputError: a file is missing.
    """
    assert named.path is not None
    entry, path = DATASETS[named.name], Path(os.path.expanduser(named.path))
    if path.is_file() and len(entry.files) == 1:
        return [path]
    if not path.is_dir():
        what = "a folder" if len(entry.files) > 1 else "a folder or a file"
        raise InputError(f"`path` must be {what} that exists, but got {named.path}", where=default_where("path"))
    official = [path / file.name for file in entry.files]
    if all(file.is_file() for file in official):
        return official
    others = sorted(path.glob(entry.archives)) if entry.archives else []
    if not others or (len(entry.files) == 1 and len(others) > 1):
        missing = next(file.name for file in official if not file.is_file())
        raise InputError(
            f"a folder for `{named.name}` must contain its files, but lacks {missing}",
            where=str(path),
            hint=f"its files are {', '.join(file.name for file in entry.files)}",
        )
    return others


def _nearest(value: object, key: str) -> str:
    if key == "kind":
        return nearest(value, OWN_KINDS)
    return f"{nearest(value, DATASETS, limit=len(DATASETS))}; or your own as {{kind: {'|'.join(OWN_KINDS)}, path: …}}"


def _input_error(error: ErrorDetails, model: type[BaseModel], where: Where) -> InputError:
    key = str(error["loc"][0])
    place = where(key)
    if error["type"] == "extra_forbidden":
        return InputError(
            f"a key must be one of those below, but got `{key}`", where=place, hint=nearest(key, model.model_fields)
        )
    hint = f"{key}: {model.model_fields[key].description}"
    if error["type"] == "missing":
        return InputError(f"`{key}` is required, but `dataset` does not have it", where=place, hint=hint)
    rule = (
        error["msg"]
        .replace("Input should be", "must be")
        .replace("List should", "must")
        .replace("String should", "must")
    )
    return InputError(f"`{key}` {rule}, but got {error['input']!r:.100}", where=place, hint=hint)
