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
NOTIFY = "TUNE_APP_NOTIFY"
"""The variable with the addresses that are notified of a sweep's end; whoever knows one may write there."""
SECRETS = (API_TOKEN, NOTIFY, "RAY_AUTH_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""The variables whose values no text shows."""
SHORTEST_SECRET = 8
"""A shorter value would be found inside ordinary words."""
USER_AND_PASSWORD = re.compile(r"(?<=://)[^\s@`'\"]*:[^\s@`'\"]*(?=@)")
HIDDEN = "…"
_webhooks: dict[str, str] = {}
"""Addresses that are secrets, and their parts behind the host, with what texts show instead."""


def inherited_environment() -> dict[str, str]:
    """The environment for a process that this one starts: its own, without what only the command itself needs."""
    return {name: value for name, value in os.environ.items() if name not in (API_TOKEN, NOTIFY)}


def drop_secrets() -> None:
    """Take what no training needs out of the environment of this process: a user's code may print all of it."""
    for name in (API_TOKEN, NOTIFY):
        os.environ.pop(name, None)


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


def host_of(address: str) -> str:
    """All that texts show of an address whose path is a secret: ``https://hooks.slack.com``."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def keep_secret(webhook: str) -> str:
    """Have no text show more of an address than its host; gives the address."""
    behind = webhook.partition("://")[2].partition("/")[2]
    _webhooks[webhook] = f"{host_of(webhook)}/{HIDDEN}" if behind else host_of(webhook)
    if len(behind) >= SHORTEST_SECRET:
        _webhooks[behind] = HIDDEN
    return webhook


def redacted(text: str) -> str:
    """`text` without passwords in addresses, without the values of `SECRETS` and without webhooks."""
    for secret in sorted(_webhooks, key=len, reverse=True):  # one may be a part of another
        text = text.replace(secret, _webhooks[secret])
    text = USER_AND_PASSWORD.sub(HIDDEN, text)
    for value in (value for name in SECRETS for value in os.environ.get(name, "").split()):
        if len(value) >= SHORTEST_SECRET:
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
