"""Requests nodes that do not run yet from the cluster's autoscaler."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
from ray.autoscaler.sdk import request_resources
from ray.experimental.internal_kv import _internal_kv_get

DECISION_S = 15.0
"""How long an autoscaler has to start launching a node; it checks every five seconds."""


class Autoscaler:
    """Tells the cluster's autoscaler what this sweep could use; has no effect if it starts no nodes.

    Args:
        slot: what one trial takes, a bundle for each of its devices.
    """

    def __init__(self, slot: list[dict[str, float]]) -> None:
        self._slot = slot
        self._asked = 0

    def want(self, slots: int) -> None:
        """Request room for `slots` trials; repeats the request only if the number grows or halves."""
        if (slots > self._asked or 2 * slots <= self._asked) and _status() is not None:
            request_resources(bundles=self._slot * slots)
            self._asked = slots

    def release(self) -> None:
        """Withdraw the request: idle nodes may end."""
        if self._asked:
            request_resources(bundles=[])
            self._asked = 0

    def starts(self) -> bool:
        """Whether resources for a trial are coming; waits up to `DECISION_S` for the autoscaler to decide."""
        needed: Counter[str] = Counter()
        for bundle in self._slot:
            needed.update(bundle)
        deadline = time.monotonic() + DECISION_S
        while (status := _status()) is not None and time.monotonic() < deadline:
            pending = status.get("autoscaler_report", {}).get("pending_resources") or {}
            if all(pending.get(name, 0) >= amount for name, amount in needed.items()):
                return True
            time.sleep(0.1)
        return False


def _status() -> dict[str, Any] | None:
    """The last status of the autoscaler; None if the cluster has none."""
    text = _internal_kv_get(DEBUG_AUTOSCALING_STATUS)
    status: dict[str, Any] | None = json.loads(text) if text else None
    return status
