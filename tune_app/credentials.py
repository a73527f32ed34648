"""Credentials in the environment and in addresses: who gets them, and texts without them.

A secret reaches another process through its environment, or through a file that the user alone can read. Command lines
are seen by everybody on a machine, Ray shows what it was told, and messages are stored.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

API_TOKEN = "TUNE_APP_API_TOKEN"
"""The variable with the token that the server and the page ask for; no other process needs it."""
SECRETS = (API_TOKEN, "RAY_AUTH_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""The variables whose values no text shows."""
SHORTEST_SECRET = 8
"""A shorter value would be found inside ordinary words."""
USER_AND_PASSWORD = re.compile(r"(?<=://)[^\s@`'\"]*:[^\s@`'\"]*(?=@)")
HIDDEN = "…"


def inherited_environment() -> dict[str, str]:
    """The environment for a process that this one starts: its own, without the token of the API."""
    return {name: value for name, value in os.environ.items() if name != API_TOKEN}


def without_password(address: str) -> str:
    """`address` without its user and password; as it is if it has no password."""
    parts = urlsplit(address) if "://" in address else None
    if parts is None or not parts.password:
        return address
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def keys_of(address: str) -> dict[str, str]:
    """The keys in ``s3://KEY:SECRET@bucket/…``, as the variables that S3 clients read; empty if it has none."""
    parts = urlsplit(address) if address.startswith("s3://") else None
    if parts is None or not parts.username or not parts.password:
        return {}
    return {"AWS_ACCESS_KEY_ID": unquote(parts.username), "AWS_SECRET_ACCESS_KEY": unquote(parts.password)}


def redacted(text: str) -> str:
    """`text` without passwords in addresses and without the values of `SECRETS`."""
    text = USER_AND_PASSWORD.sub(HIDDEN, text)
    for value in map(os.environ.get, SECRETS):
        if value and len(value) >= SHORTEST_SECRET:
            text = text.replace(value, HIDDEN)
    return text


def write_private(path: Path, text: str) -> None:
    """Write a file that this user alone can read, in the place of one that is there.

    Raises:
        OSError: it cannot be written.
    """
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
