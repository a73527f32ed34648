"""The settings of a server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

LARGEST_BODY = 1_000_000
"""Maximum bytes of a request body; a search space file has at most 200,000."""


@dataclass(frozen=True)
class Settings:
    """The settings of a server.

    Attributes:
        store: root of the results.
        profiles: folder of the profiles.
        search_spaces: folder of the search spaces that requests may use.
        token: what clients must send; None for no token, which is only allowed on loopback.
        classes: the users' own tasks that requests may use, as ``package.module:Class``.
        data_folders: folders that must contain the data that requests name by `path`.
        origins: of web pages that may use the API, such as ``https://tune.example.org``.
        address: job server of the cluster for jobs; None for this machine's own.
        largest_body: maximum bytes of a request body.
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
