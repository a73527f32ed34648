"""Credentials in the environment and in addresses: who gets them, and how they are redacted.

A secret reaches another process through its environment, or through a file that only the user can read. Everyone on a
machine can see command lines, Ray shows its settings, and messages are stored.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

API_TOKEN = "TUNE_APP_API_TOKEN"
"""The variable with the token of the server and the page; no other process needs it."""
NOTIFY = "TUNE_APP_NOTIFY"
"""The variable with the addresses to notify at a sweep's end; anyone who knows one can post there."""
SECRETS = (API_TOKEN, NOTIFY, "RAY_AUTH_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""The variables whose values are always redacted."""
SHORTEST_SECRET = 8
"""A shorter value would also match inside ordinary words."""
USER_AND_PASSWORD = re.compile(r"(?<=://)[^\s@`'\"]*:[^\s@`'\"]*(?=@)")
HIDDEN = "…"
_webhooks: dict[str, str] = {}
"""Secret addresses, and their parts after the host, with their replacements."""


def inherited_environment() -> dict[str, str]:
    """The environment for child processes: this one's, without what only the command itself needs."""
    return {name: value for name, value in os.environ.items() if name not in (API_TOKEN, NOTIFY)}


def drop_secrets() -> None:
    """Remove what no training needs from this process's environment, because a user's code may print all of it."""
    for name in (API_TOKEN, NOTIFY):
        os.environ.pop(name, None)


def without_password(address: str) -> str:
    """`address` without user and password; unchanged if it has no password."""
    parts = urlsplit(address) if "://" in address else None
    if parts is None or not parts.password:
        return address
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def keys_of(address: str) -> dict[str, str]:
    """The keys in ``s3://KEY:SECRET@bucket/…``, as the environment variables of S3 clients; empty if it has none."""
    parts = urlsplit(address) if address.startswith("s3://") else None
    if parts is None or not parts.username or not parts.password:
        return {}
    return {"AWS_ACCESS_KEY_ID": unquote(parts.username), "AWS_SECRET_ACCESS_KEY": unquote(parts.password)}


def host_of(address: str) -> str:
    """The visible part of an address whose path is a secret: ``https://hooks.slack.com``."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def keep_secret(webhook: str) -> str:
    """Register an address as a secret, so that only its host is ever shown; returns the address."""
    behind = webhook.partition("://")[2].partition("/")[2]
    _webhooks[webhook] = f"{host_of(webhook)}/{HIDDEN}" if behind else host_of(webhook)
    if len(behind) >= SHORTEST_SECRET:
        _webhooks[behind] = HIDDEN
    return webhook


def redacted(text: str) -> str:
    """`text` with passwords in addresses, values of `SECRETS` and webhooks removed."""
    for secret in sorted(_webhooks, key=len, reverse=True):  # one may be part of another
        text = text.replace(secret, _webhooks[secret])
    text = USER_AND_PASSWORD.sub(HIDDEN, text)
    for value in (value for name in SECRETS for value in os.environ.get(name, "").split()):
        if len(value) >= SHORTEST_SECRET:
            text = text.replace(value, HIDDEN)
    return text


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read, replacing an existing one.

    Raises:
        OSError: it cannot be written.
    """
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
