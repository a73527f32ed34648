"""What a server was started with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

LARGEST_BODY = 1_000_000
"""Bytes that a request may carry; a search space file has at most 200,000."""


@dataclass(frozen=True)
class Settings:
    """What a server was started with.

    Attributes:
        store: root of the results.
        profiles: folder of the profiles.
        search_spaces: folder of the search spaces that requests may name.
        token: what clients have to show; None asks for nothing, which only a server on loopback may do.
        classes: the users' own tasks that requests may name, as ``package.module:Class``.
        data_folders: folders in which the data sets that requests name by `path` must lie.
        origins: of the web pages that may use the API, such as ``https://tune.example.org``.
        address: job server of the cluster that jobs are given to; None for this machine's own.
        largest_body: bytes that a request may carry.
    """

    store: str
    profiles: str
    search_spaces: str
    token: str | None = field(default=None, repr=False)
    classes: Sequence[str] = ()
    data_folders: Sequence[str] = ()
    origins: Sequence[str] = ()
    address: str | None = None
    largest_body: int = LARGEST_BODY
