"""Data sets: ours by name, and the user's own, as `tune_app.datasets.dataset.Dataset`."""

from __future__ import annotations

from dataclasses import replace

from tune_app.datasets.cache import load_kept
from tune_app.datasets.dataset import Dataset
from tune_app.datasets.image_folder import load_image_folder
from tune_app.datasets.npz import load_npz
from tune_app.datasets.reference import AnyReference, ImageFolder, Named, Npz, Table, own_files, read_reference
from tune_app.datasets.registry import DATASETS
from tune_app.datasets.table import load_table
from tune_app.datasets.text_file import load_text_file
from tune_app.errors import InputError
from tune_app.spaces.variable import DatasetReference


def load_dataset(reference: DatasetReference) -> Dataset:
    """Load a data set: one of ours by name, downloaded if it is not yet there, or the user's own.

    If one of ours is read from the user's files, ``info["official"]`` is False; its content hash distinguishes it.

    Raises:
        InputError: there is no such data set, the user's data cannot be read, or terms are not accepted.
        WorkFailed: the download failed.
    """
    read = read_reference(reference)
    try:
        return replace(_load(read), name=read.title)
    except OSError as error:  # a user's path may be forbidden, too long, or removed in the meantime
        reason = error.strerror or str(error)
        where = str(error.filename or read.title)
        raise InputError(f"the data must be readable, but {reason}", where=where) from None


def _load(read: AnyReference) -> Dataset:
    if isinstance(read, Named):
        return _load_named(read)
    if isinstance(read, ImageFolder):
        return load_image_folder(read.location, read.size, read.channels)
    if isinstance(read, Npz):
        return load_npz(read.location)
    if isinstance(read, Table):
        return load_table(read.location, read.text, read.label)
    return load_text_file(read.location)


def _load_named(named: Named) -> Dataset:
    entry = DATASETS[named.name]
    if not entry.files:
        return entry.load(())
    if named.path is not None:
        data = load_kept(entry, own_files(named), official=False)
        return replace(data, info={**data.info, "official": False})
    from tune_app.datasets.download import fetch  # imports pooch, which workers never need

    data = load_kept(entry, [file.path for file in fetch(entry)], official=True)
    return replace(data, info={**data.info, "official": True})
