"""Names of studies and profiles: short, and safe as names of files and in addresses."""

from __future__ import annotations

import re

from tune_app.errors import InputError

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def check_name(what: str, name: object, where: str = "") -> None:
    """Refuse what cannot be a name.

    Args:
        what: what it would be the name of, such as "a profile's name".

    Raises:
        InputError: it is none; the hint has the nearest one.
    """
    if isinstance(name, str) and NAME_PATTERN.fullmatch(name):
        return
    nearest = re.sub(r"[^a-z0-9_-]+", "-", str(name).lower()).strip("-_")[:64].rstrip("-_")
    raise InputError(
        f"{what} must be 1 to 64 small letters, digits, - or _, with a letter or digit first, but got {name!r}",
        where=where,
        hint=f"`{nearest}` would do" if nearest else "such as `digits-best`",
    )
