"""What a script tells of its training, as epochs: from its lines, a file of JSON lines, or TensorBoard's files."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from tune_app.errors import WorkFailed
from tune_app.spaces.script import STEP, Script, ScriptReport


class ScriptError(WorkFailed):
    """A script failed, or reports otherwise than it should."""


@dataclass(frozen=True)
class Told:
    """The figures of one step.

    Attributes:
        step: as the script counts; None where it does not tell.
    """

    step: int | None
    metrics: dict[str, float]


class Source(Protocol):
    """Where figures come from."""

    def line(self, text: str) -> Sequence[Told]:
        """What a line of standard output tells."""
        ...

    def poll(self) -> Sequence[Told]:
        """What has come elsewhere since the last time."""
        ...


def open_source(script: Script, metrics: Collection[str], trial_folder: str) -> Source:
    """Where the script tells its `metrics`."""
    report = script.report
    return StandardOutput(report, metrics)


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
        step = int(_number(STEP, groups[STEP], text)) if STEP in groups else None
        return [Told(step, {name: _number(name, groups[name], text) for name in self._metrics})]

    def poll(self) -> Sequence[Told]:
        """Nothing."""
        return ()


def _number(name: str, found: object, text: str) -> float:
    try:
        return float(found.rstrip(",;") if isinstance(found, str) else found)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ScriptError(f"`{name}` must be a number, but got {found!r:.50} in the line {text!r:.200}") from None


class Numbering:
    """Which epoch a step is.

    Attributes:
        epoch: the last one.
        step: its step; None where the script does not tell.
    """

    def __init__(self, report: ScriptReport, epoch: int = 0, step: int | None = None) -> None:
        self._report, self.epoch, self.step = report, epoch, step

    def is_next(self, step: int | None) -> bool:
        """Whether `step` is the next epoch; others are passed over: those before it, and those within it.

        Raises:
            ScriptError: an epoch was left out.
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
                    f"a script must report each epoch, but reports step {step} where step {wanted} was due: "
                    f"`every: {every}` says how many steps an epoch has"
                )
        self.epoch, self.step = self.epoch + 1, step
        return True
