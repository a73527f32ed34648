"""Objects that an actor of the sweep makes once, for all of its trials."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, ObjectLostError, RayActorError, RayTaskError

from tune_app.errors import WorkFailed

ATTEMPTS = 3
"""How often a trial asks again if the actor dies."""
RESTART_S = 120.0
"""Maximum seconds to wait for the actor to restart: its process imports the task and its packages."""


def made_object(actor: ray.actor.ActorHandle, ask: Callable[[], ray.ObjectRef], name: str) -> Any:
    """An object that an actor has made, or makes now.

    While the actor restarts, Ray refuses calls at once: without waiting, all trials that ask in that second would use
    up their attempts. The actor owns the object, so if it dies between its answer and the reading, the object is lost.

    Args:
        ask: calls the actor, which returns a list with a reference to the object.
        name: what to call the actor in an error: ``process that prepares the data``.

    Raises:
        Exception: what the actor's code raised.
        WorkFailed: it died in each of `ATTEMPTS` attempts, for example because its node ran out of memory.
    """
    for attempt in range(ATTEMPTS):
        if attempt:
            _wait_for(actor)
        try:
            (made,) = ray.get(ask())
            return ray.get(made)
        except RayTaskError as error:
            raise error.cause from None  # without Ray's frames around it
        except (RayActorError, ObjectLostError) as error:
            last = error
    reason = " ".join(str(last).split())[:300]
    raise WorkFailed(f"the {name} died in each of {ATTEMPTS} attempts: {reason}")


def _wait_for(actor: ray.actor.ActorHandle) -> None:
    """Wait until the actor has restarted; what is wrong if it does not, the next attempt says."""
    with suppress(GetTimeoutError, RayActorError):
        ray.get(actor.__ray_ready__.options(max_task_retries=-1).remote(), timeout=RESTART_S)
