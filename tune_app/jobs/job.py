"""A job: a requested sweep or training, and its states."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from tune_app.credentials import redacted
from tune_app.errors import InputError
from tune_app.moment import now

SCHEMA_VERSION = 1
KINDS = ("sweep", "training")
NEXT = {
    "QUEUED": ("RUNNING", "FAILED", "CANCELLED"),
    "RUNNING": ("SUCCEEDED", "FAILED", "CANCELLED"),
    "SUCCEEDED": (),
    "FAILED": (),
    "CANCELLED": (),
}
"""The allowed state transitions; end states are final."""
STATES = tuple(NEXT)
END_STATES = tuple(state for state, following in NEXT.items() if not following)
ID_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}")


@dataclass(frozen=True)
class Job:
    """The record of one job, ``jobs/<id>/job.json`` in the store.

    Attributes:
        id: ``<space>-<run>``.
        kind: ``sweep`` or ``training``.
        space: what run numbers count: the space's name; ``train-<profile>`` for a training.
        run: 1, 2, 3 … among the jobs of this space.
        study: the study that a sweep writes; None for a training.
        request: the validated request: everything the job needs except the data and the user's own code.
        requested_by: who requested it.
        reason: why it ended: ``error``, ``lost``, ``cancelled``; None if it succeeded or has not ended.
        message: the reason in words.
        exit_code: of the job's process, if known.
        address: the job server it was submitted to; None for the one on the machine `host`.
        host: the machine that requested it.
        folder: the folder where it was requested, for a user's own task and relative paths.
        submission_id: its name in Ray.
        submitted_at: when Ray accepted it.
    """

    id: str
    kind: str
    space: str
    run: int
    study: str | None
    request: Mapping[str, Any]
    requested_by: str
    requested_at: str
    address: str | None
    host: str
    folder: str
    submission_id: str
    state: str = "QUEUED"
    reason: str | None = None
    message: str | None = None
    exit_code: int | None = None
    submitted_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    schema_version: int = field(default=SCHEMA_VERSION, kw_only=True)

    @property
    def ended(self) -> bool:
        """Whether it is in an end state."""
        return self.state in END_STATES

    def moved(
        self, state: str, *, reason: str | None = None, message: str | None = None, exit_code: int | None = None
    ) -> Job:
        """This job in another state, with the time of the change.

        Raises:
            InputError: the transition is not allowed.
        """
        if state not in NEXT[self.state]:
            following = ", ".join(NEXT[self.state]) or "nothing, because it is an end state"
            raise InputError(
                f"the job `{self.id}` is {self.state} and cannot become {state}", hint=f"next states: {following}"
            )
        shown = redacted(message) if message else message  # it may quote what the job or Ray printed
        job = replace(self, state=state, reason=reason, message=shown, exit_code=exit_code)
        return replace(job, started_at=now()) if state == "RUNNING" else replace(job, ended_at=now())

    def to_json(self) -> bytes:
        """The record as a JSON document."""
        return json.dumps(asdict(self), indent=2).encode()


def read_job(content: bytes, where: str) -> Job:
    """The record in `content`, the file at `where`.

    Raises:
        InputError: it is not a record, or of an unknown version.
    """
    try:
        document = json.loads(content)
        version = document["schema_version"]
        if version != SCHEMA_VERSION:
            raise InputError(
                f"`schema_version` must be {SCHEMA_VERSION}, but got {version!r}", where=where, hint="update tune-app"
            )
        job = Job(**{key.name: document[key.name] for key in fields(Job)})
        if job.state not in NEXT or job.kind not in KINDS:
            raise ValueError(f"state {job.state!r} and kind {job.kind!r} are not known")
        return job
    except (ValueError, LookupError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"the file must be the record of a job, but {type(error).__name__}: {error}",
            where=where,
            hint="remove its folder; this does not affect the study that it wrote",
        ) from error
