"""Options and output that several commands share."""

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
"""The key under which a command's context stores what it prints with `--json`."""
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

store_option = click.option(
    "--store",
    envvar="TUNE_APP_STORE",
    default="results",
    show_default=True,
    metavar="FOLDER",
    help="The store: a folder, s3://… or gs://….",
)
profiles_option = click.option(
    "--profiles",
    "profiles_folder",
    envvar="TUNE_APP_PROFILES",
    default="profiles",
    show_default=True,
    metavar="FOLDER",
    help="The profiles' folder.",
)


def _reserve_stdout(ctx: click.Context, param: click.Parameter, as_json: bool) -> bool:
    """Print the document when the command ends, and keep everything else off standard output until then."""
    if as_json:
        documents = ctx.meta[DOCUMENTS] = list[str]()
        ctx.call_on_close(lambda: _print_all(documents))
        ctx.with_resource(reserved())  # the last context entered exits first
    return as_json


def _print_all(documents: Sequence[str]) -> None:
    for document in documents:
        click.echo(document)


json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    callback=_reserve_stdout,
    help="Print one JSON document on stdout and nothing else.",
)
set_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="GROUP.VARIABLE=VALUE",
    help="Set a variable to this value; repeatable.",
)


def parse_settings(settings: tuple[str, ...]) -> dict[str, str]:
    """``("training.learning_rate=0.01",)`` as a mapping.

    Raises:
        InputError: one has no ``=``, or a variable occurs twice.
    """
    parsed: dict[str, str] = {}
    for setting in settings:
        key, equals, value = (part.strip() for part in setting.partition("="))
        if not equals or not key or not value:
            raise InputError(f"`--set` must be GROUP.VARIABLE=VALUE, but got `{setting}`")
        if key in parsed:
            raise InputError(f"`--set` must set a variable only once, but `{key}` occurs twice")
        parsed[key] = value
    return parsed


def parse_trial(text: str) -> tuple[str, int]:
    """``STUDY:N`` as study and number.

    Raises:
        InputError: it has a different format.
    """
    study, colon, number = text.rpartition(":")
    if not colon or not study or not number.isdecimal():
        raise InputError(f"`--trial` must be STUDY:NUMBER, but got `{text}`", hint="for example --trial digits-cnn:17")
    return study, int(number)


def print_json(document: Any) -> None:
    """Print `document` when the command ends; numbers that are not finite become null, times become ISO strings."""
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
