"""The Ray actor that trains trials, one after another, on its own device or with a group of ranks."""

from __future__ import annotations

import time
from typing import Any

import ray
from ray.exceptions import OutOfMemoryError

from tune_app.errors import WorkFailed
from tune_app.ray_backend.group import Group, RankLost
from tune_app.ray_backend.rank import Rank, TrialFailed, WorkerContext
from tune_app.spaces.objective import objective_of, objectives_of
from tune_app.spaces.section import Objective
from tune_app.store.columns import family
from tune_app.training.health import told

REPORT_PERIOD_S = 0.5
"""How often a trial reports between rungs: often enough to watch, rarely enough to keep the driver idle."""
CHECKPOINT_SHARE = 50
"""Write a checkpoint when the training since the last one took this many times as long as writing it."""


class Worker:
    """Trains its trial up to the next decision of the scheduler, each time Tune asks for it.

    It has the methods
    of `ray.tune.Trainable` that Tune's controller calls, but is not one: importing Tune takes two thirds as long as
    importing torch. A failure of the trial is a result, not an exception: the process survives and gets the next
    trial. `context` is set on a subclass, so that only the configuration is sent per trial. On one device, the
    training runs in this process; on several, the ranks train and this process waits for them. The death of a rank is
    raised: Tune then ends this process too, and the trial counts as lost.
    """

    context: ray.ObjectRef

    def __init__(self, config: dict[str, Any], storage: None = None) -> None:
        """Load what the trials share once per process, then start the first trial, `config`: see `_begin`.

        Args:
            storage: Tune's, unused.
        """
        self._shared: WorkerContext = ray.get(self.context)
        self._rank: Rank | Group = Rank(self._shared) if self._shared.devices == 1 else Group(self.context)
        self._node_ip = ray.util.get_node_ip_address()
        self._begin(config)

    def reset(self, new_config: dict[str, Any], storage: None = None) -> bool:
        """Start another trial in the same process."""
        self._begin(new_config)
        return True

    def stop(self) -> None:
        """Free the training's memory."""
        self._rank.drop()

    def _begin(self, request: dict[str, Any]) -> None:
        self._request = request
        self._rank.drop()
        self._started = False
        self._epoch = 0
        self._since_checkpoint = 0.0
        self._checkpoint_cost = 0.0

    def train(self) -> dict[str, Any]:
        """Train to the next rung, the end, or for `REPORT_PERIOD_S`; the epochs' rows are sent together.

        Raises:
            RankLost: the process or node of a rank died.
            OutOfMemoryError: Ray killed a rank because its node ran out of memory.
        """
        rows: list[dict[str, Any]] = []
        try:
            self._train(rows)
            if not self._finished:
                return self._result(rows)
            self._rank.save()
            result = {**self._result(rows), **self._rank.finish(), "done": True, "finished": True}
            _check_objectives(self._shared.objective, {**rows[-1], **result})
        except (RankLost, OutOfMemoryError):
            raise
        except Exception as error:
            failure = TrialFailed.of(error)
            result = {**self._result(rows), "done": True, "failure_kind": failure.kind, "error": failure.error}
            self._rank.drop()
        return result

    def _train(self, rows: list[dict[str, Any]]) -> None:
        """Add the rows of the epochs to `rows` as they end."""
        if not self._started:
            # Here and not in `_begin`, so that exceptions of the user's class fail the trial.
            history = self._rank.start(self._request)
            self._started, self._epoch = True, len(history)
            # The driver may have been lost before it received the epochs up to the checkpoint.
            rows += [self._row(row) for row in history]
        deadline = time.monotonic() + REPORT_PERIOD_S
        while not self._finished:
            row = self._rank.run_epoch()
            assert row is not None
            self._epoch = row.epoch
            rows.append(self._row(row))
            self._since_checkpoint += row.duration_s
            self._checkpoint()
            if self._epoch in self._shared.rungs or time.monotonic() > deadline:
                break

    @property
    def _finished(self) -> bool:
        return self._epoch >= int(self._request["epochs"])

    def _row(self, row: Any) -> dict[str, Any]:
        metrics = {f"metric/{name}": value for name, value in row.metrics.items()}
        health = {f"health/{name}": value for name, value in row.health.items()}
        return {
            "trial": self._request["trial"],
            "epoch": row.epoch,
            "ended_at": row.ended_at.isoformat(),
            "duration_s": row.duration_s,
            **metrics,
            **health,
        }

    def _checkpoint(self) -> None:
        if self._finished or self._since_checkpoint < max(1.0, CHECKPOINT_SHARE * self._checkpoint_cost):
            return
        began = time.monotonic()
        self._rank.save()
        self._checkpoint_cost = time.monotonic() - began
        self._since_checkpoint = 0.0

    def _result(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {
            "rows": rows,
            "attempt": self._request["attempt"],
            "finished": False,
            "done": False,
            "node": self._node_ip,
            **self._rank.facts(),
        }
        if rows:
            value = objective_of(self._shared.objective, rows[-1])
            result.update({} if value is None else {"objective": value})
        return result


def _check_objectives(objective: Objective, row: dict[str, Any]) -> None:
    """A finished trial without its objective cannot be compared: fail it, and say why."""
    if None in objectives_of(objective, row):
        raise WorkFailed(
            f"a finished trial must have all parts of its objective, but with mode {objective.mode} one of them is "
            f"undefined: metric/{objective.metric} is {row.get(f'metric/{objective.metric}')}, health/overall is "
            f"{row.get('health/overall')} with {told(family(row, 'health'))}, latency_ms is {row.get('latency_ms')}"
        )
