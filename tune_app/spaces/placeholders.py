"""Placeholders such as ``{trial_folder}`` in the words of a script's command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection

from tune_app.document import shown
from tune_app.errors import InputError, nearest

FOLDER = "trial_folder"
"""The placeholder of the folder that a trial has for itself."""
PLACEHOLDER = re.compile(r"\{\{(?P<literal>[a-z_]+)\}\}|\{(?P<name>[a-z_]+)\}")
"""A word in braces; in two pairs of them it stands for itself in one. All other braces, such as JSON's, are plain."""


def filled(text: str, **values: object) -> str:
    """`text` with these placeholders filled, and without the second braces of ``{{word}}``; all else in it stays."""

    def fill(found: re.Match[str]) -> str:
        if found["literal"]:
            return f"{{{found['literal']}}}"
        return str(values.get(found["name"], found[0]))

    return PLACEHOLDER.sub(fill, text)


def literal(text: str) -> str:
    """What `filled` makes `text` of."""
    return PLACEHOLDER.sub(lambda found: f"{{{found[0]}}}", text)


def check_placeholders(
    text: str, known: Collection[str], where: str, needed: Collection[str] = (), hint: str = ""
) -> None:
    """Refuse a text with other placeholders than those that are `known`, or without those that are `needed`.

    Args:
        hint: how to go on where one is missing.

    Raises:
        InputError: the first one.
    """
    found = {match["name"] for match in PLACEHOLDER.finditer(text) if match["name"]}
    for name in sorted(found - set(known)):
        rule = f"a placeholder must be one of those below, but got `{{{name}}}`"
        raise InputError(rule, where=where, hint=f"{nearest(name, known)}; `{{{{{name}}}}}` is no placeholder")
    for name in needed:
        if name not in found:
            raise InputError(f"`{{{name}}}` must stand in it, but got {shown(text)}", where=where, hint=hint)


def words_of(text: str, where: str) -> list[str]:
    """The words of a text as a shell would take them.

    Raises:
        InputError: a quotation has no end.
    """
    try:
        return shlex.split(text)
    except ValueError as error:
        raise InputError(f"words must be as in a shell, but {error} in {shown(text)}", where=where) from None
