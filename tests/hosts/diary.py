"""A user's function that trains nothing and keeps a diary of each trial, which shows what was trained twice."""

from __future__ import annotations

import json
import socket
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

LOADS = "loads"
SHARED_BYTES = 2**20


class Diary:
    """The diary of one attempt at a trial; all attempts write to one file, `folder`/`seed`.jsonl.

    The function checkpoints and restores the diary itself, so the diary sees both.
    """

    def __init__(self, folder: str, seed: int) -> None:
        self._path = Path(folder, f"{seed}.jsonl")
        self._facts = {"attempt": uuid.uuid4().hex, "host": socket.gethostname()}
        self.epoch = 0

    def note(self, what: str) -> None:
        """Write a line about the current epoch immediately."""
        line = json.dumps({**self._facts, "what": what, "epoch": self.epoch, "at": time.time()})
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(line + "\n")

    def state_dict(self) -> dict[str, Any]:
        self.note("saving")
        return {"epoch": self.epoch}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.epoch = saved["epoch"]


def load(folder: str) -> np.ndarray:
    """The data that all trials share; each load adds the host's name to a file."""
    with open(Path(folder, LOADS), "a", encoding="utf-8") as file:
        file.write(socket.gethostname() + "\n")
    return np.ones(SHARED_BYTES, np.uint8)


def tune(config: dict[str, Any], report: Any) -> None:
    """The score is `level` plus a little for each epoch; an epoch takes `pace` seconds."""
    assert report.shared(load, config["diary"]).sum() == SHARED_BYTES
    diary = Diary(config["diary"], report.seed)
    began = report.restore(diary=diary)
    assert began == diary.epoch
    diary.note("began")
    for epoch in range(began + 1, report.epochs + 1):
        time.sleep(config["pace"])
        diary.epoch = epoch
        diary.note("trained")
        report({"score": config["level"] + 0.01 * epoch})


def diary_space(
    name: str, folder: Path, *, trials: int, epochs: int, pace: tuple[float, float], gpus: float, pruning: str
) -> str:
    """A search space file for `tune`, with diaries in `folder`; an epoch takes from `pace[0]` to `pace[1]` seconds."""
    from sweeping import space  # imports pandas and pytest, which no worker needs

    document = yaml.safe_load(space(name, trials=trials, epochs=epochs, pace=0.0, gpus=gpus))
    del document["dataset"]
    between = {"type": "float", "low": pace[0], "high": pace[1]}
    document["parameters"]["training"].update(pace=between, diary=str(folder))
    changes = {"task": "diary:tune", "metrics": {"score": "maximize"}, "pruning": {"level": pruning}}
    return yaml.safe_dump({**document, **changes})


@dataclass
class Attempt:
    """What one attempt at a trial wrote.

    Attributes:
        began: the epoch after which it continued; 0 if it started from scratch.
        may_begin: the allowed values of `began`: the epoch of the last checkpoint, and of the one before it if the
            last one may be incomplete.
        trained: the epochs that it trained, in order.
    """

    host: str
    began: int
    may_begin: set[int]
    trained: list[int] = field(default_factory=list)


@dataclass
class Life:
    """A trial according to its diary: all attempts, in the order in which they began."""

    attempts: list[Attempt]

    @classmethod
    def read(cls, path: Path) -> Life:
        return cls.of([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()])

    @classmethod
    def of(cls, lines: Iterable[dict[str, Any]]) -> Life:
        attempts: dict[str, Attempt] = {}
        whole, last, was_saving = 0, 0, False
        for line in lines:
            if line["what"] == "began":
                may_begin = {last, whole} if was_saving else {last}
                attempts[line["attempt"]] = Attempt(line["host"], line["epoch"], may_begin)
                whole = last = line["epoch"]
            elif line["what"] == "trained":
                attempts[line["attempt"]].trained.append(line["epoch"])
            else:
                whole, last = last, line["epoch"]
            was_saving = line["what"] == "saving"
        return cls(list(attempts.values()))

    @property
    def epochs(self) -> set[int]:
        """All epochs that any attempt trained."""
        return {epoch for attempt in self.attempts for epoch in attempt.trained}

    @property
    def repeated(self) -> list[int]:
        """For each attempt after the first, how many epochs it trained that an earlier one had already trained."""
        counts, known = [], set[int]()
        for attempt in self.attempts:
            counts.append(len(known & set(attempt.trained)))
            known |= set(attempt.trained)
        return counts[1:]

    def faults(self) -> list[str]:
        """What is wrong with this trial's attempts."""
        found = []
        for number, attempt in enumerate(self.attempts, 1):
            if attempt.began not in attempt.may_begin:
                found.append(f"attempt {number} began after epoch {attempt.began}, not {sorted(attempt.may_begin)}")
            if attempt.trained != list(range(attempt.began + 1, attempt.began + 1 + len(attempt.trained))):
                found.append(f"attempt {number}, from epoch {attempt.began}, trained {attempt.trained}")
        return found


def lives(folder: Path) -> dict[int, Life]:
    """All trials that have a diary in `folder`, by seed."""
    return {int(path.stem): Life.read(path) for path in sorted(folder.glob("*.jsonl"))}
