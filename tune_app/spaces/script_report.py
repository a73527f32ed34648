"""Which of a script's output is an epoch: the section `report` of its search space."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from tune_app.document import Document, shown
from tune_app.errors import InputError, nearest
from tune_app.spaces.placeholders import FOLDER, check_placeholders

REPORT = "report"
KINDS = ("stdout", "jsonl", "tensorboard")
STEP = "step"


@dataclass(frozen=True)
class ScriptReport:
    """Where a script reports its metrics, and which of them are an epoch.

    Attributes:
        kind: ``stdout``: lines that it prints; ``jsonl``: lines of a file; ``tensorboard``: event files in a folder.
        source: the regular expression with a group for each metric; the file; the folder.
        every: steps of an epoch: step / every is its number. None if each step above the last one is the next.
        skip: steps that are not epochs.
    """

    kind: str
    source: str
    every: int | None = None
    skip: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The section `report` of a search space."""
        every = {} if self.every is None else {"every": self.every}
        return {self.kind: self.source, **every, **({"skip": list(self.skip)} if self.skip else {})}


def read_report(document: Document, metrics: Collection[str]) -> ScriptReport:
    """Read the section `report`.

    Args:
        metrics: names of the metrics that the script reports.

    Raises:
        InputError: the first thing that breaks a rule, with its place.
    """
    section, where = document.mapping(REPORT), document.where(REPORT)
    for key in section:
        if key not in (valid := (*KINDS, "every", "skip")):
            raise InputError(
                f"a key must be one of those below, but got `{key}`",
                where=document.where(REPORT, key),
                hint=nearest(key, valid),
            )
    kinds = [kind for kind in KINDS if kind in section]
    if len(kinds) != 1:
        rule = f"`{REPORT}` must have one of {', '.join(KINDS)}, but got {' and '.join(kinds) or 'none'}"
        hint = r"write for example `{stdout: 'step (?P<step>\d+): val loss (?P<val_loss>\S+)'}`"
        raise InputError(rule, where=where, hint=hint)
    (kind,) = kinds
    source, where = section[kind], document.where(REPORT, kind)
    if not isinstance(source, str) or not source:
        rule = f"`{kind}` must be a string, but got {shown(source)}"
        raise InputError(rule, where=where, hint=f'put it in quotes: "{{{FOLDER}}}"')
    every, skip = section.get("every"), section.get("skip", [])
    if every is not None and not _is_count(every, 1):
        rule = f"`every` must be a whole number of at least 1, but got {shown(every)}"
        raise InputError(rule, where=document.where(REPORT, "every"))
    if not isinstance(skip, list) or not all(_is_count(step, 0) for step in skip):
        rule = f"`skip` must be a list of steps, but got {shown(skip)}"
        raise InputError(rule, where=document.where(REPORT, "skip"), hint="write for example `[0]`")
    if kind == "stdout":
        _check_expression(source, metrics, where, counts=every is not None or bool(skip))
    else:
        # A shared file also contains other trials' metrics, which would be read as this trial's.
        hint = f"also pass the folder to the script: `command: python train.py --out_dir={{{FOLDER}}}`"
        check_placeholders(source, (FOLDER,), where, (FOLDER,), hint)
    return ScriptReport(kind, source, every, tuple(skip))


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _check_expression(source: str, metrics: Collection[str], where: str, counts: bool) -> None:
    """Reject an expression whose groups are not exactly the metrics and an optional step."""
    try:
        groups = set(re.compile(source).groupindex)
    except re.error as error:
        rule = f"`stdout` must be a regular expression, but {error} in {shown(source)}"
        raise InputError(rule, where=where, hint="use single quotes, in which YAML keeps every backslash") from None
    missing, unknown = sorted(set(metrics) - groups), sorted(groups - {*metrics, STEP})
    if missing:
        rule = f"`stdout` must have a group for each metric, but has none for `{missing[0]}`"
        raise InputError(rule, where=where, hint=rf"write for example `{missing[0]}: (?P<{missing[0]}>\S+)`")
    if unknown:
        rule = f"a group must be a metric or `{STEP}`, but got `{unknown[0]}`"
        raise InputError(rule, where=where, hint=nearest(unknown[0], [*metrics, STEP]))
    if counts and STEP not in groups:
        rule = f"`every` and `skip` need a group `{STEP}`, but `stdout` has none"
        raise InputError(rule, where=where, hint=rf"write for example `step (?P<{STEP}>\d+): …`")
