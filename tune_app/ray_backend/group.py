"""The group of ranks that train one trial together, each in its own process on its own device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ray
from ray.exceptions import OutOfMemoryError, RayError, RayTaskError
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from tune_app.ray_backend.rank import Rank, TrialFailed
from tune_app.training.trial import EpochRow

SETTLE_S = 2.0
"""How long the other ranks have to respond, or to be reported dead, after one failed."""


class RankLost(Exception):
    """The process or node of a rank died."""


class Group:
    """Runs `tune_app.ray_backend.rank.Rank` on all ranks of a data-parallel training in step.

    It belongs to a worker, which has no device itself. The ranks are in the placement group that Tune created for the
    worker, one per bundle, so they always end with it. They are created for the first trial and reused for later ones.
    If one fails in the middle of an epoch, the others wait for it, on GPUs forever: then all of them are ended, and the
    next trial gets new ones.

    Every method raises `TrialFailed` if the trial failed, and `RankLost` or `OutOfMemoryError` if a process died.

    Args:
        context: the sweep's `WorkerContext`.
    """

    def __init__(self, context: ray.ObjectRef) -> None:
        self._context = context
        self._ranks: list[ray.actor.ActorHandle] = []
        self._facts: dict[str, Any] = {}

    def start(self, request: dict[str, Any]) -> list[EpochRow]:
        """See `Rank.start`."""
        self._facts = {}
        if not self._ranks:
            try:
                self._make()
            except Exception:
                self._end()  # half a group is useless for the next trial
                raise
        history: list[EpochRow] = self._all("start", request)
        self._learn()
        return history

    def run_epoch(self) -> EpochRow | None:
        """See `Rank.run_epoch`."""
        row: EpochRow = self._all("run_epoch")
        self._learn()
        return row

    def save(self) -> None:
        """See `Rank.save`."""
        self._first("save")

    def facts(self) -> dict[str, Any]:
        """See `Rank.facts`; as they were after the last epoch."""
        return self._facts

    def finish(self) -> dict[str, Any]:
        """See `Rank.finish`."""
        told: dict[str, Any] = self._first("finish")
        return told

    def drop(self) -> None:
        """See `Rank.drop`."""
        if self._ranks:
            self._all("drop")

    def _end(self) -> None:
        """End the processes of all ranks."""
        for rank in self._ranks:
            ray.kill(rank)
        self._ranks = []

    def _make(self) -> None:
        """Start the ranks, one in each bundle, and connect them."""
        place = ray.util.get_current_placement_group()
        for number, bundle in enumerate(place.bundle_specs):
            options = ray.remote(Rank).options(
                num_cpus=bundle["CPU"],
                num_gpus=bundle.get("GPU", 0),
                scheduling_strategy=PlacementGroupSchedulingStrategy(place, placement_group_bundle_index=number),
            )
            self._ranks.append(options.remote(self._context))
        address = self._first("open_store")
        self._settled([rank.join.remote(address, number) for number, rank in enumerate(self._ranks)])

    def _learn(self) -> None:
        self._facts = self._first("facts")

    def _first(self, method: str) -> Any:
        return self._settled([getattr(self._ranks[0], method).remote()])

    def _all(self, method: str, *arguments: Any) -> Any:
        """Call `method` on all ranks; returns the first rank's result."""
        return self._settled([getattr(rank, method).remote(*arguments) for rank in self._ranks])

    def _settled(self, calls: Sequence[ray.ObjectRef]) -> Any:
        """The result of the first of `calls` once all are done; raises as soon as one fails."""
        waiting = list(calls)
        while waiting:
            done, waiting = ray.wait(waiting)
            error = _error_of(done[0])
            if error is not None:
                raise self._failure(error, calls) from None
        return ray.get(calls[0])

    def _failure(self, first: RayError, calls: Sequence[ray.ObjectRef]) -> Exception:
        """The exception to raise for `first`, the first error of `calls`; ends the ranks if they are out of step."""
        # If a process dies, its peers may report a broken connection before Ray reports the death.
        settled, late = ray.wait(list(calls), num_returns=len(calls), timeout=SETTLE_S)
        errors = [error for call in settled if (error := _error_of(call)) is not None]
        if late or len(errors) > 1 or _error_of(calls[0]) is None:
            self._end()
        lost = next((error for error in errors if not isinstance(error, RayTaskError)), None)
        if lost is None:
            assert isinstance(first, RayTaskError)
            return first.cause if isinstance(first.cause, TrialFailed) else first
        self._end()
        return lost if isinstance(lost, OutOfMemoryError) else RankLost(str(lost))


def _error_of(call: ray.ObjectRef) -> RayError | None:
    try:
        ray.get(call)
    except RayError as error:
        return error
    return None
