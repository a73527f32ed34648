"""A task whose process ignores SIGINT and SIGTERM."""

from __future__ import annotations

import signal
import time
from typing import Any

from faulty import Faulty


class Deaf(Faulty):
    """It never gets to the training."""

    def load_data(self, dataset: str) -> Any:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        print("deaf now", flush=True)
        time.sleep(300)
