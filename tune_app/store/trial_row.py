"""The row of a trial that ended: its states, why it may have failed, and its columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Literal

FAMILIES = ("config/", "metric/", "health/")
"""What the columns of a row begin with that differ from task to task."""

FailureKind = Literal["error", "diverged", "oom", "lost"]
"""Why a trial failed: it raised, its figures were no longer finite, memory ran out, or its process or node died."""

Source = Literal["default", "start", "history", "random", "model", "grid"]
"""Where a configuration came from: the task's defaults, ``start_from``, past studies, a random draw, the sampler's
model of what trials have shown, or a grid."""


class TrialState(StrEnum):
    """RUNNING, and the four ways in which a trial ends."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    PRUNED = "PRUNED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


STATES = tuple(TrialState)


@dataclass(frozen=True)
class TrialRow:
    """A trial that ended, as the `trials` table has it.

    Attributes:
        objective: what trials are compared by, after the last epoch; None for a failed one.
        epochs: how many it trained.
        started_at, ended_at: UTC, ISO 8601.
        duration_s: seconds that its last attempt took.
        seed: that it trained from; None of a script that takes none.
        node: address of the machine.
        gpu_fraction: GPUs that it had, a share or a number.
        gpu_utilization: percentage of the time of its epochs in which its GPU was busy, with all that ran there;
            None on a CPU and in a study that is older than the column.
        latency_ms: milliseconds that the model takes for a row.
        source: where its configuration came from; None in a study that is older than the column.
        resumed_from: after which epoch its last attempt went on, 0 for one that began again; None for a first attempt.
        sample: a text that the model made.
        families: the columns ``config/<group>/<variable>``, ``metric/<name>`` and ``health/<name>``.
    """

    trial: int
    trial_id: str
    state: TrialState
    epochs: int
    started_at: str
    ended_at: str
    duration_s: float
    seed: int | None
    attempt: int
    objective: float | None = None
    failure_kind: FailureKind | None = None
    error: str | None = None
    node: str | None = None
    device: str | None = None
    gpu_fraction: float | None = None
    peak_memory_mb: float | None = None
    gpu_utilization: float | None = None
    model_parameters: int | None = None
    checkpoint: str | None = None
    source: Source | None = None
    latency_ms: float | None = None
    sample: str | None = None
    resumed_from: int | None = None
    families: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_columns(cls, columns: Mapping[str, Any]) -> TrialRow:
        """The row that `to_columns` wrote; columns that this program does not know are left out.

        Raises:
            LookupError, TypeError, ValueError: it is no such row.
        """
        known = {name: columns[name] for name in FIELDS if name in columns}
        families = {n: value for n, value in columns.items() if n not in known and n.startswith(FAMILIES)}
        return cls(**{**known, "state": TrialState(columns["state"]), "families": families})

    def to_columns(self) -> dict[str, Any]:
        """The row as it stands in the event log and in the table; `sample` only where there is one."""
        own = {name: getattr(self, name) for name in FIELDS}
        if self.sample is None:
            del own["sample"]
        return {**own, "state": str(self.state), **self.families}


FIELDS = tuple(f.name for f in fields(TrialRow) if f.name != "families")
