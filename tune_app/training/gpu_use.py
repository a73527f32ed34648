"""How busy a trial's GPU is during training, which shows whether more trials could share it."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator

import torch

log = logging.getLogger(__name__)

SAMPLED_S = 1.0
"""Seconds between two samples. NVML averages over the past 1/6 to 1 second, depending on the product."""


class GpuUse:
    """Samples the utilization of `device`: the percentage of time in which anything computed on it.

    Everything that runs on the GPU counts, not only this training: 100 with four trials means that a fifth one would
    slow down the others. A sample counts for the time since the previous one.
    """

    def __init__(self, device: torch.device) -> None:
        self._index = (device.index or 0) if device.type == "cuda" else None
        self._busy = self._watched_s = 0.0
        self._last = 0.0

    @property
    def mean(self) -> float | None:
        """Percentage, 0 to 100, over the watched time; None on a CPU, and if NVML does not report it."""
        return self._busy / self._watched_s if self._watched_s else None

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Sample while the block runs, and once at its end."""
        if self._index is None:
            yield
            return
        done, self._last = threading.Event(), time.perf_counter()
        thread = threading.Thread(target=self._watch, args=(done,), name="gpu-use", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _watch(self, done: threading.Event) -> None:
        ended = False
        while not ended and self._index is not None:
            ended = done.wait(SAMPLED_S)
            try:
                percent = torch.cuda.utilization(self._index)
            except (
                Exception
            ) as error:  # no NVML, or a GPU that NVML does not support: each raises a different exception
                log.info("The utilization of the GPU is unknown: %s", error)
                self._index = None
                return
            now = time.perf_counter()
            self._busy += percent * (now - self._last)
            self._watched_s += now - self._last
            self._last = now
