"""The application: its routes, access control, and error handling."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.middleware.cors import CORSMiddleware

from tune_app import __version__
from tune_app.api import best_model, catalog, changes, events, jobs, metrics, notes, profiles, trials
from tune_app.api.body_limit import BodyLimit
from tune_app.api.error_shape import EVERYWHERE, documented, refuse_unknown_query, translate_errors
from tune_app.api.security import Guard
from tune_app.api.server import Server
from tune_app.api.settings import Settings

ABOUT = """Submit, watch and compare sweeps and trainings of PyTorch models, and save the results.

The events of a job are numbered and available over a WebSocket at `/jobs/{job_id}/events?after=N`. All errors have the
same format."""


def make_app(settings: Settings, hosts: Sequence[str] = ()) -> FastAPI:
    """The application of a server with these settings.

    Args:
        hosts: additional names under which clients reach this machine, besides loopback.

    Raises:
        InputError: the store is neither a folder nor an address.
    """
    server = Server(settings)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        server.start()
        yield
        await run_in_threadpool(server.close)

    app = FastAPI(
        title="tune-app",
        version=__version__,
        description=ABOUT,
        lifespan=life,
        redoc_url=None,
        redirect_slashes=False,
        responses=documented(*EVERYWHERE),
        dependencies=[Depends(refuse_unknown_query)],
    )
    modules = (jobs, changes, trials, notes, best_model, events, profiles, catalog, metrics)
    routers = [module.routes(server) for module in modules]
    for router in routers:
        app.include_router(router)
    translate_errors(app, [*app.routes, *(route for router in routers for route in router.routes)])
    app.add_middleware(BodyLimit, settings.largest_body)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.origins),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "If-Match"],
            expose_headers=["ETag", "Location", "Next-Start"],
        )
    app.add_middleware(Guard, settings.token, hosts, settings.origins)
    if settings.token is not None:
        _document_token(app)
    return app


def _document_token(app: FastAPI) -> None:
    """Declare in the OpenAPI document that the token is required, so that /docs asks for it."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["token"] = {"type": "http", "scheme": "bearer"}
        document["security"] = [{"token": []}]
        return document

    app.openapi = openapi  # type: ignore[method-assign]
