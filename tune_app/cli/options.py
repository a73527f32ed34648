"""Options and output that several verbs share."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import click

from tune_app.errors import InputError
from tune_app.readable import is_absent
from tune_app.standard_output import reserved

DOCUMENTS = "documents"
"""Where a command keeps what it prints with `--json`, among the facts of its context."""
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

store_option = click.option(
    "--store",
    envvar="TUNE_APP_STORE",
    default="results",
    show_default=True,
    metavar="FOLDER",
    help="Root of the results: a folder, s3://… or gs://….",
)
profiles_option = click.option(
    "--profiles",
    "profiles_folder",
    envvar="TUNE_APP_PROFILES",
    default="profiles",
    show_default=True,
    metavar="FOLDER",
    help="Folder of the profiles.",
)


def _reserve_stdout(ctx: click.Context, param: click.Parameter, as_json: bool) -> bool:
    """Print the document when the command has ended, and have nothing else reach standard output till then."""
    if as_json:
        documents = ctx.meta[DOCUMENTS] = list[str]()
        ctx.call_on_close(lambda: _print_all(documents))
        ctx.with_resource(reserved())  # what is entered last is left first
    return as_json


def _print_all(documents: Sequence[str]) -> None:
    for document in documents:
        click.echo(document)


json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    callback=_reserve_stdout,
    help="Print one JSON document on stdout, nothing else.",
)
set_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="GROUP.VARIABLE=VALUE",
    help="Give a variable this value; may be repeated.",
)


def parse_settings(settings: tuple[str, ...]) -> dict[str, str]:
    """``("training.learning_rate=0.01",)`` as a mapping.

    Raises:
        InputError: one has no ``=``, or the same variable stands twice.
    """
    parsed: dict[str, str] = {}
    for setting in settings:
        key, equals, value = (part.strip() for part in setting.partition("="))
        if not equals or not key or not value:
            raise InputError(f"`--set` takes GROUP.VARIABLE=VALUE, but got `{setting}`")
        if key in parsed:
            raise InputError(f"`--set` must name a variable once, but `{key}` stands twice")
        parsed[key] = value
    return parsed


def parse_trial(text: str) -> tuple[str, int]:
    """``STUDY:N`` as study and number.

    Raises:
        InputError: it has another form.
    """
    study, colon, number = text.rpartition(":")
    if not colon or not study or not number.isdecimal():
        raise InputError(f"`--trial` takes STUDY:NUMBER, but got `{text}`", hint="for example --trial digits-cnn:17")
    return study, int(number)


def print_json(document: Any) -> None:
    """Print `document` when the command ends; what is no finite number becomes null, times become ISO text."""
    click.get_current_context().meta[DOCUMENTS].append(json.dumps(_plain(document), indent=2, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if is_absent(value):
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
