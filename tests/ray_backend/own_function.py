"""A user's function, for tests: the score is `level` plus a little for every epoch; nothing is trained."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch


def tune(config: dict[str, Any], report: Any) -> dict[str, float] | None:
    model = torch.nn.Linear(2, 1)
    markers = Path(os.environ["FAULTY_MARKERS"])
    start = report.restore(model=model)
    try:
        for epoch in range(start + 1, report.epochs + 1):
            with torch.no_grad():
                model.weight += 1
            died = markers / "own-function-died"
            if config["dies"] and not died.exists():
                time.sleep(0.4)  # a worker reports, and saves, twice a second
                if epoch == 5:
                    died.touch()
                    os._exit(1)
            report({"score": config["level"] + 0.01 * epoch, "epochs_here": epoch - start})
    finally:
        (markers / f"own-function-{config['level']:.4f}").touch()
    return {"test_score": 1.0} if report.final else None


def optimizing(config: dict[str, Any], report: Any) -> None:
    """Reports how many modules its first optimizer imported."""
    imported = len(sys.modules)
    torch.optim.AdamW(torch.nn.Linear(2, 1).parameters())
    for _ in range(report.epochs):
        report({"score": float(len(sys.modules) - imported), "epochs_here": 1})


def silent(config: dict[str, Any], report: Any) -> None:
    report({"score": 0.5, "epochs_here": 1})


def load_rows(count: int) -> np.ndarray[Any, Any]:
    with Path(os.environ["FAULTY_MARKERS"], "own-function-loads").open("a") as file:
        file.write(f"{os.getpid()}\n")
    return np.arange(count)


def sharing(config: dict[str, Any], report: Any) -> None:
    atexit.register(Path(os.environ["FAULTY_MARKERS"], f"own-function-left-{os.getpid()}").touch)
    print("begins with", config["level"])
    if not logging.getLogger("own").handlers:
        logging.getLogger("own").addHandler(logging.StreamHandler())  # which keeps the current stream
    logging.getLogger("own").warning("logged %s", config["level"])
    sys.stderr.buffer.write(b"caf\xe9\n")
    rows = report.shared(load_rows, 1000)
    assert not rows.flags.writeable, "shared data must be read in place"
    for _ in range(report.epochs):
        report({"score": float(rows.sum()), "epochs_here": os.getpid()})
