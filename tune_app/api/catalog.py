"""Routes of the available choices: strategies, search spaces, data sets; and the health check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter

from tune_app import __version__
from tune_app.api.models import DatasetLine, Health, SearchSpaceLine, Strategies
from tune_app.api.server import Server
from tune_app.api.submission import space_files
from tune_app.credentials import host_of
from tune_app.datasets.cache import state_of
from tune_app.datasets.registry import DATASETS
from tune_app.document import Document
from tune_app.errors import InputError
from tune_app.spaces.strategy import SAMPLERS, SCHEDULERS
from tune_app.spaces.webhook import NOTIFY, read_webhooks


def routes(server: Server) -> APIRouter:
    """The routes of the available choices."""
    router = APIRouter(tags=["catalog"])
    read: dict[Path, tuple[object, dict[str, Any]]] = {}

    @router.get("/strategies", response_model=Strategies)
    def strategies() -> dict[str, Any]:
        """The samplers, which propose configurations, and the schedulers, which stop trials early."""
        return {
            key: [{"name": name, "summary": strategy.summary} for name, strategy in registry.items()]
            for key, registry in (("samplers", SAMPLERS), ("schedulers", SCHEDULERS))
        }

    @router.get("/search-spaces", response_model=list[SearchSpaceLine])
    def search_spaces() -> list[dict[str, Any]]:
        """The server's search spaces, which `POST /jobs` accepts by name."""
        lines = []
        for name, path in space_files(server.settings.search_spaces).items():
            found = path.stat()
            stamp = found.st_mtime_ns, found.st_size, found.st_ino
            if path not in read or read[path][0] != stamp:
                read[path] = stamp, _space(path)
            lines.append({"search_space": name, **read[path][1]})
        return lines

    @router.get("/datasets", response_model=list[DatasetLine])
    def datasets() -> list[dict[str, Any]]:
        """The data sets that tune-app knows by name, and whether they are in the server's cache folder."""
        keys = ("name", "kind", "description", "license", "terms", "bytes")
        return [{**{key: getattr(entry, key) for key in keys}, "state": state_of(entry)} for entry in DATASETS.values()]

    @router.get("/healthz", tags=["server"])
    async def healthz() -> Health:
        """Whether the server is up."""
        return Health(status="ok", version=__version__)

    return router


def _space(path: Path) -> dict[str, Any]:
    try:
        document = Document.read(path)
        data, webhooks = document.data, read_webhooks(document)
        return {"document": {**data, NOTIFY: list(map(host_of, webhooks))} if webhooks else data, "invalid": None}
    except InputError as error:
        return {"document": None, "invalid": f"{error.where}: {error.message}"}
