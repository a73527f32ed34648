"""The addresses to notify at the end of a sweep, from a search space or an option.

Anyone who knows such an address can post there, so it is a secret. Studies and messages only show its host.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from tune_app.credentials import keep_secret
from tune_app.document import Document
from tune_app.errors import InputError

NOTIFY = "notify"
EXAMPLE = "write for example `https://example.org/hook`, percent-encoded, or a list of such addresses"


def read_webhooks(document: Document) -> tuple[str, ...]:
    """The addresses under `notify` in a search space; none if the key is absent.

    Raises:
        InputError: one is not an http or https address.
    """
    found = document.data.get(NOTIFY)
    listed = found if isinstance(found, list) else [] if found is None else [found]
    return checked_webhooks(listed, document.where(NOTIFY))


def checked_webhooks(addresses: Iterable[object], where: str) -> tuple[str, ...]:
    """These addresses, redacted from all later messages; `where` is their place in messages.

    Raises:
        InputError: one is not an http or https address.
    """
    return tuple(keep_secret(_checked(address, where)) for address in addresses)


def _checked(address: object, where: str) -> str:
    rule = f"`{NOTIFY}` must be an http or https address"
    if not isinstance(address, str):
        raise InputError(f"{rule}, but got {type(address).__name__}", where=where, hint=EXAMPLE)
    try:
        parts = urlsplit(address)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known or not address.isascii() or not address.isprintable() or " " in address:
        scheme, colon, _ = address.partition("://")
        found = f"one that starts with `{scheme}://`" if colon and scheme.isalnum() else "another string"
        raise InputError(f"{rule}, but got {found}", where=where, hint=EXAMPLE)
    return address
