"""The commands for data sets: list, fetch, verify."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tune_app.cli.options import json_option, print_json
from tune_app.cli.results import print_table
from tune_app.errors import InputError, WorkFailed, nearest

if TYPE_CHECKING:
    from tune_app.datasets.entry import Entry


@click.group()
def data() -> None:
    """List data sets, download them to the cache folder, and verify the downloaded files.

    The cache folder is TUNE_APP_DATA_DIR; by default, the system's cache folder. TUNE_APP_DATA_MIRROR is a base URL to
    try first: MIRROR/DATASET/FILE. Your own data needs none of this: `dataset: {kind: image_folder, path: …}`.
    """


@data.command("list")
@json_option
def data_list(as_json: bool) -> None:
    """List the data sets with their licenses, and show which ones are in the cache folder."""
    from tune_app.datasets.cache import state_of
    from tune_app.datasets.registry import DATASETS

    if as_json:
        print_json([_described(entry) for entry in DATASETS.values()])
        return
    print_table(
        [
            {
                "dataset": entry.name,
                "kind": entry.kind,
                "MB": round(entry.bytes / 1e6, 1) if entry.files else None,
                "state": state_of(entry),
                "description": entry.description,
                "license": entry.license,
            }
            for entry in DATASETS.values()
        ]
    )


@data.command("fetch")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--accept-terms", is_flag=True, help="Accept the terms of the data sets that have them.")
@json_option
def data_fetch(names: tuple[str, ...], accept_terms: bool, as_json: bool) -> None:
    """Download data sets to the cache folder, and skip files that are already complete."""
    from tune_app.datasets.download import fetch

    rows: list[dict[str, Any]] = []
    for entry in _entries(names):
        if not entry.files:
            rows.append({"dataset": entry.name, "state": "embedded"})
        for fetched in fetch(entry, accept_terms=accept_terms):
            happened = "kept" if fetched.source is None else "downloaded"
            row = {"dataset": entry.name, "state": happened, "path": str(fetched.path), "source": fetched.source}
            rows.append(row)
    _print(rows, as_json)


@data.command("verify")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@json_option
def data_verify(names: tuple[str, ...], as_json: bool) -> None:
    """Check the files in the cache folder against their checksums, for NAME or for all data sets."""
    from tune_app.datasets.cache import data_folder, state_of
    from tune_app.datasets.download import verify
    from tune_app.datasets.registry import DATASETS

    chosen = _entries(names) if names else [e for e in DATASETS.values() if e.files and state_of(e) != "absent"]
    rows = [
        {"dataset": entry.name, "state": state, "path": str(data_folder() / entry.name / file)}
        for entry in chosen
        for file, state in verify(entry).items()
    ]
    rows += [{"dataset": entry.name, "state": "embedded"} for entry in chosen if not entry.files]
    if rows or as_json:
        _print(rows, as_json)
    else:
        click.echo(f"no data sets in {data_folder()}; `tune-app data fetch NAME` downloads one")
    wrong = [row for row in rows if row["state"] in ("damaged", "missing")]
    if wrong:
        again = " ".join(dict.fromkeys(row["dataset"] for row in wrong))
        raise WorkFailed(
            f"damaged or missing files: {len(wrong)} of {len(rows)}, first {wrong[0]['path']}",
            hint=f"`tune-app data fetch {again}` downloads the incomplete files",
        )


def _entries(names: tuple[str, ...]) -> list[Entry]:
    from tune_app.datasets.registry import DATASETS

    for name in names:
        if name not in DATASETS:
            hint = nearest(name, DATASETS, limit=len(DATASETS))
            raise InputError(f"a data set must be one of ours, but got `{name}`", hint=hint)
    return [DATASETS[name] for name in dict.fromkeys(names)]


def _described(entry: Entry) -> dict[str, Any]:
    from tune_app.datasets.cache import data_folder, state_of

    return {
        "dataset": entry.name,
        "kind": entry.kind,
        "description": entry.description,
        "license": entry.license,
        "terms": entry.terms,
        "state": state_of(entry),
        "bytes": entry.bytes,
        "files": [
            {
                "name": file.name,
                "path": str(data_folder() / entry.name / file.name),
                "addresses": list(file.addresses),
                "checksum": file.checksum,
            }
            for file in entry.files
        ],
    }


def _print(rows: list[dict[str, Any]], as_json: bool) -> None:
    columns = ("dataset", "state", "path", "source")
    whole = [{column: row.get(column) for column in columns} for row in rows]
    if as_json:
        print_json(whole)
    else:
        print_table(whole)
