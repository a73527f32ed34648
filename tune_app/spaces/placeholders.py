"""Placeholders such as ``{trial_folder}`` in the words of a script's command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection

from tune_app.document import shown
from tune_app.errors import InputError, nearest

FOLDER = "trial_folder"
"""The placeholder for the trial's own folder."""
PLACEHOLDER = re.compile(r"\{\{(?P<literal>[a-z_]+)\}\}|\{(?P<name>[a-z_]+)\}")
"""A word in braces; double braces stand for single ones. All other braces, such as in JSON, are literal."""


def filled(text: str, **values: object) -> str:
    """`text` with these placeholders filled in, and ``{{word}}`` reduced to single braces; the rest is unchanged."""

    def fill(found: re.Match[str]) -> str:
        if found["literal"]:
            return f"{{{found['literal']}}}"
        return str(values.get(found["name"], found[0]))

    return PLACEHOLDER.sub(fill, text)


def literal(text: str) -> str:
    """The inverse of `filled`: escapes `text`."""
    return PLACEHOLDER.sub(lambda found: f"{{{found[0]}}}", text)


def check_placeholders(
    text: str, known: Collection[str], where: str, needed: Collection[str] = (), hint: str = ""
) -> None:
    """Reject a string with placeholders that are not `known`, or without those that are `needed`.

    Args:
        hint: what to do if one is missing.

    Raises:
        InputError: the first one.
    """
    found = {match["name"] for match in PLACEHOLDER.finditer(text) if match["name"]}
    for name in sorted(found - set(known)):
        rule = f"a placeholder must be one of those below, but got `{{{name}}}`"
        raise InputError(rule, where=where, hint=f"{nearest(name, known)}; `{{{{{name}}}}}` is not a placeholder")
    for name in needed:
        if name not in found:
            raise InputError(f"`{{{name}}}` is required in it, but got {shown(text)}", where=where, hint=hint)


def words_of(text: str, where: str) -> list[str]:
    """Split a string into words as a shell does.

    Raises:
        InputError: a quotation is not closed.
    """
    try:
        return shlex.split(text)
    except ValueError as error:
        raise InputError(f"the command must be valid shell words, but {error} in {shown(text)}", where=where) from None
