"""The events of a job, as numbered messages over a WebSocket.

The only source is the event log of the job's study. A message's number is its position in the log: 1, 2, 3 … without
gaps, the same for every client at any time. So a client that reconnects with its last number misses nothing and sees
nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Query, WebSocket, WebSocketDisconnect
from starlette.concurrency import run_in_threadpool

from tune_app.api.error_shape import response_of
from tune_app.api.security import SUBPROTOCOL, offers_token
from tune_app.api.server import Server
from tune_app.api.trial_views import epoch_view
from tune_app.errors import NotFound, TuneAppError
from tune_app.jobs.job import Job
from tune_app.store.columns import Row, family
from tune_app.store.study import Study

LOOK_S = 0.25
GONE = 4404
"""The code with which a WebSocket closes when its job is removed; 1000 after `job_ended`."""
FAILED = 1011


def routes(server: Server) -> APIRouter:
    """The route of events."""
    router = APIRouter()

    @router.websocket("/jobs/{job_id}/events")
    async def events(socket: WebSocket, job_id: str, after: Annotated[int, Query(ge=0)] = 0) -> None:
        try:
            stream = JobEvents(server, job_id)
        except TuneAppError as error:
            await socket.send_denial_response(response_of(error))
            return
        await socket.accept(SUBPROTOCOL if offers_token(socket.headers) else None)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_wait_for_leaving, socket, tasks.cancel_scope)
            await _send_all(socket, stream, after)
            tasks.cancel_scope.cancel()

    return router


async def _send_all(socket: WebSocket, stream: JobEvents, after: int) -> None:
    try:
        while True:
            for message in await run_in_threadpool(stream.new):
                if message["number"] > after:
                    await socket.send_json(message)
            if stream.ended:
                await socket.close(1000)
                return
            await anyio.sleep(LOOK_S)
    except TuneAppError as error:
        await socket.close(
            GONE if isinstance(error, NotFound) else FAILED, error.message.encode()[:120].decode(errors="ignore")
        )
    except (WebSocketDisconnect, RuntimeError):  # the client left during a send
        return


async def _wait_for_leaving(socket: WebSocket, scope: anyio.CancelScope) -> None:
    """Notice when the client leaves; ignores what it sends."""
    try:
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass
    except RuntimeError:  # we closed it
        return
    scope.cancel()


class JobEvents:
    """The messages of one job, in order.

    Attributes:
        ended: whether the last one, `job_ended`, was returned.

    Raises:
        NotFound: there is no such job.
    """

    def __init__(self, server: Server, job_id: str) -> None:
        self._server = server
        self._job_id = job_id
        job = server.views.job(job_id)
        study = Study(server.store.folder, job.study) if job.study else None
        self._log = study.event_log() if study else None
        self._columns: dict[str, str] = {}
        self._number = 0
        self._sweeps = 0
        self.ended = False

    def new(self) -> list[dict[str, Any]]:
        """The messages since the last call.

        Raises:
            NotFound: the job was removed.
            InputError: the log is damaged.
        """
        job = self._server.views.job(
            self._job_id
        )  # first, because then everything the job wrote before its end is in the log
        found: list[dict[str, Any]] = []
        for event in self._log.new_events() if self._log else []:
            self._sweeps += event["type"] == "sweep_started"
            if self._sweeps <= 1:  # a second one comes from someone who resumed the study after this job
                found += map(self._numbered, self._messages(job, event))
        if job.ended:
            facts = {"state": job.state, "reason": job.reason, "message": job.message, "exit_code": job.exit_code}
            found.append(self._numbered({"type": "job_ended", "at": job.ended_at, **facts}))
            self.ended = True
        return found

    def _numbered(self, message: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        return {"number": self._number, **message}

    def _messages(self, job: Job, event: Row) -> Iterator[dict[str, Any]]:
        """The messages for one line of the log, which may have several epochs, or none for clients."""
        match event["type"]:
            case "trial_started":
                facts = {key: event[key] for key in ("trial", "attempt", "seed")}
                yield {"type": "trial_started", "at": event["at"], **facts, "configuration": self._by_group(job, event)}
            case "epochs":
                for row in event["rows"]:
                    yield {"type": "epoch", "at": row["ended_at"], "trial": row["trial"], **epoch_view(row)}
            case "trial_ended":
                row = event["row"]
                keys = ("trial", "state", "objective", "failure_kind", "error", "epochs", "duration_s", "attempt")
                facts = {key: row.get(key) for key in keys}
                figures = {"metrics": family(row, "metric"), "health": family(row, "health")}
                yield {"type": "trial_ended", "at": event["at"], **facts, **figures}

    def _by_group(self, job: Job, event: Row) -> dict[str, dict[str, Any]]:
        if not self._columns:
            assert job.study
            facts = self._server.facts(Study(self._server.store.folder, job.study))
            self._columns = {column.split("/", 2)[2]: column.split("/", 2)[1] for column in facts.columns}
        grouped: dict[str, dict[str, Any]] = {}
        for name, group in self._columns.items():
            if name in event["config"]:
                grouped.setdefault(group, {})[name] = event["config"][name]
        return grouped
