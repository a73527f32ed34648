"""Reads search space files against the catalog of their task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tune_app.datasets.reference import dataset_kind, dataset_title
from tune_app.document import Document
from tune_app.errors import InputError
from tune_app.spaces import spec
from tune_app.spaces.catalog import Catalog
from tune_app.spaces.requirements import check_requirements, read_requirements
from tune_app.spaces.spec import Spec, read_dataset, read_text
from tune_app.tasks import TASK_OF_KIND, TASKS
from tune_app.tasks.catalogs import load_catalog


def load_spec(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Spec:
    """Read a search space file; `overrides` as `tune_app.spaces.spec.read_spec` takes them.

    Raises:
        InputError: the first thing that breaks a rule, with file, line and key.
    """
    return read_spec(Document.read(path), overrides)


def read_spec(
    document: Document,
    overrides: Mapping[str, Any] | None = None,
    catalog_of: Callable[[str], Catalog] = load_catalog,
) -> Spec:
    """Read a search space that is already in memory; see `load_spec` and `find_catalog`."""
    return spec.read_spec(document, lambda found: find_catalog(found, catalog_of), overrides)


def find_catalog(document: Document, catalog_of: Callable[[str], Catalog] = load_catalog) -> Catalog:
    """The catalog of the task that a search space names; if it names only its data set, of the task for that kind.

    Args:
        catalog_of: the catalog of a task by its name.

    Raises:
        InputError: there is no such task, or one of ours does not take the data set.
    """
    name = _task_name(document)
    try:
        return catalog_of(name)
    except InputError as error:
        check_requirements(read_requirements(document))  # otherwise importing one of them failed
        raise InputError(error.message, where=document.where("task"), hint=error.hint) from None


def _task_name(document: Document) -> str:
    """A user's own task interprets its data set itself, so that one is not checked here."""
    if "task" not in document.data:
        dataset = read_dataset(document)
        return TASK_OF_KIND[dataset_kind(dataset, lambda *path: document.where("dataset", *path))]
    name = read_text(document, "task")
    if name in TASKS:
        dataset = read_dataset(document)
        kind = dataset_kind(dataset, lambda *path: document.where("dataset", *path))
        if TASK_OF_KIND[kind] != name:
            raise InputError(
                f"`{name}` does not support data sets of kind `{kind}`, such as `{dataset_title(dataset)}`",
                where=document.where("task"),
                hint=f"use the task {TASK_OF_KIND[kind]}",
            )
    return name
