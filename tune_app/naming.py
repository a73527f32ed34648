"""Names of studies and profiles: short, and safe in file names and addresses."""

from __future__ import annotations

import re

from tune_app.errors import InputError

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def check_name(what: str, name: object, where: str = "") -> None:
    """Reject an invalid name.

    Args:
        what: what it is the name of, such as "a profile's name".

    Raises:
        InputError: it is invalid; the hint has the nearest valid one.
    """
    if isinstance(name, str) and NAME_PATTERN.fullmatch(name):
        return
    nearest = re.sub(r"[^a-z0-9_-]+", "-", str(name).lower()).strip("-_")[:64].rstrip("-_")
    raise InputError(
        f"{what} must be 1 to 64 lowercase letters, digits, - or _, starting with a letter or digit, but got {name!r}",
        where=where,
        hint=f"`{nearest}` is valid" if nearest else "such as `digits-best`",
    )
