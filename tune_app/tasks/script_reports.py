"""A script's reports as epochs: from its output, a file of JSON lines, or TensorBoard files."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tune_app.spaces.placeholders import filled
from tune_app.spaces.script import Script
from tune_app.spaces.script_report import STEP, ScriptReport
from tune_app.tasks.event_files import EventFiles
from tune_app.tasks.script_failure import ScriptError


@dataclass(frozen=True)
class Told:
    """The metrics of one step.

    Attributes:
        step: as counted by the script; None if it does not report it.
    """

    step: int | None
    metrics: dict[str, float]


class Source(Protocol):
    """A source of metrics."""

    def line(self, text: str) -> Sequence[Told]:
        """The metrics in a line of standard output."""
        ...

    def poll(self, ended: bool) -> Sequence[Told]:
        """New metrics from elsewhere since the last call; the last ones if the script has ended."""
        ...


def open_source(script: Script, metrics: Collection[str], trial_folder: str, working_folder: str) -> Source:
    """The source of the script's `metrics`."""
    report = script.report
    if report.kind == "stdout":
        return StandardOutput(report, metrics)
    place = Path(working_folder, filled(report.source, trial_folder=trial_folder))
    return JsonLines(place, metrics) if report.kind == "jsonl" else TensorBoard(place, metrics)


class StandardOutput:
    """Lines that a script prints."""

    def __init__(self, report: ScriptReport, metrics: Collection[str]) -> None:
        self._expression, self._metrics = re.compile(report.source), metrics

    def line(self, text: str) -> Sequence[Told]:
        """See `Source`."""
        found = self._expression.search(text)
        if found is None:
            return ()
        groups = {name: value for name, value in found.groupdict().items() if value is not None}
        if any(name not in groups for name in self._metrics):
            return ()
        step = _step(groups[STEP], text) if STEP in groups else None
        return [Told(step, {name: _number(name, groups[name], text) for name in self._metrics})]

    def poll(self, ended: bool) -> Sequence[Told]:
        """Nothing."""
        return ()


class JsonLines:
    """Lines of a file, each an object; those with all metrics are reports, with the key `step` if there is one."""

    def __init__(self, path: Path, metrics: Collection[str]) -> None:
        self._path, self._metrics, self._read = path, metrics, 0

    def line(self, text: str) -> Sequence[Told]:
        """Nothing."""
        return ()

    def poll(self, ended: bool) -> Sequence[Told]:
        """See `Source`."""
        if not self._path.is_file():
            return ()
        if self._path.stat().st_size < self._read:  # the script restarted
            self._read = 0
        with self._path.open("rb") as file:
            file.seek(self._read)
            found = file.read()
        whole = found if ended else found.rpartition(b"\n")[0]
        self._read += len(found) if ended else len(whole) + 1 if whole else 0
        # As bytes: strings may contain Unicode line separators, such as U+2028.
        lines = [line.decode(errors="replace") for line in whole.split(b"\n") if line.strip()]
        return [told for line in lines if (told := self._told(line)) is not None]

    def _told(self, line: str) -> Told | None:
        try:
            found = json.loads(line, strict=False)  # control characters in strings are harmless
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise ScriptError(f"each line of {self._path} must be a JSON object, but got {line!r:.200}")
        if any(found.get(name) is None for name in self._metrics):
            return None
        step = None if found.get(STEP) is None else _step(found[STEP], line)
        return Told(step, {name: _number(name, found[name], line) for name in self._metrics})


class TensorBoard:
    """Event files in a folder: the metrics are tags, and a step that has all of them is a report."""

    def __init__(self, folder: Path, metrics: Collection[str]) -> None:
        self._files, self._metrics = EventFiles(folder), metrics
        self._open: dict[int, dict[str, float]] = {}

    def line(self, text: str) -> Sequence[Told]:
        """Nothing."""
        return ()

    def poll(self, ended: bool) -> Sequence[Told]:
        """See `Source`."""
        for scalar in self._files.poll():
            if scalar.tag in self._metrics:
                self._open.setdefault(scalar.step, {})[scalar.tag] = scalar.value
        whole = sorted(step for step, found in self._open.items() if len(found) == len(self._metrics))
        return [Told(step, self._open.pop(step)) for step in whole]


def _step(found: object, text: str) -> int:
    number = _number(STEP, found, text)
    if not math.isfinite(number):
        raise ScriptError(f"`{STEP}` must be a whole number, but got {found!r:.50} in the line {text!r:.200}")
    return int(number)


def _number(name: str, found: object, text: str) -> float:
    try:
        return float(found.rstrip(",;") if isinstance(found, str) else found)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise ScriptError(f"`{name}` must be a number, but got {found!r:.50} in the line {text!r:.200}") from None


class Numbering:
    """Which epoch a step is.

    Attributes:
        epoch: the last one.
        step: its step; None if the script does not report it.
    """

    def __init__(self, report: ScriptReport, epoch: int = 0, step: int | None = None) -> None:
        self._report, self.epoch, self.step = report, epoch, step

    def is_next(self, step: int | None) -> bool:
        """Whether `step` is the next epoch; others, before it and within it, are skipped.

        Raises:
            ScriptError: an epoch was skipped.
        """
        if step is None:
            self.epoch += 1
            return True
        if step in self._report.skip or (self.step is not None and step <= self.step):
            return False
        every = self._report.every
        if every is not None:
            epoch, rest = divmod(step, every)
            if rest or epoch <= self.epoch:
                return False
            if epoch > self.epoch + 1:
                wanted = (self.epoch + 1) * every
                raise ScriptError(
                    f"a script must report each epoch, but reports step {step} where step {wanted} was due; `every: "
                    f"{every}` sets the steps per epoch"
                )
        self.epoch, self.step = self.epoch + 1, step
        return True
