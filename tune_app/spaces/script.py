"""A script as a task: how it is started, and what of its output is an epoch."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from tune_app.document import Document, shown
from tune_app.errors import InputError, nearest
from tune_app.spaces.placeholders import check_placeholders, filled, words_of

SCRIPT = "script"
"""The task of a search space that has a command."""
COMMAND, ARGUMENTS, REPORT, RESUME, SEED = "command", "arguments", "report", "resume", "seed"
KEYS = (COMMAND, ARGUMENTS, REPORT, RESUME, SEED)
"""The keys of a search space that belong to a script."""
KINDS = ("stdout", "jsonl", "tensorboard")
STEP = "step"
FOLDER = "trial_folder"
ARGUMENT = "--{name}={value}"


@dataclass(frozen=True)
class ScriptReport:
    """Where a script tells its figures, and which of them are an epoch.

    Attributes:
        kind: ``stdout``: lines that it prints; ``jsonl``: lines of a file; ``tensorboard``: event files in a folder.
        source: the regular expression with a group for each metric; the file; the folder.
        every: steps of an epoch: step / every is its number. None where each step above the last one is the next.
        skip: steps that are no epoch.
    """

    kind: str
    source: str
    every: int | None = None
    skip: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The section `report` of a search space."""
        every = {} if self.every is None else {"every": self.every}
        return {self.kind: self.source, **every, **({"skip": list(self.skip)} if self.skip else {})}


@dataclass(frozen=True)
class Script:
    """A command that trains one configuration.

    Attributes:
        command: its words; ``{trial_folder}`` in them is the trial's folder.
        arguments: how each variable is given, by its name; `ARGUMENT` for one that is not there.
        resume: words that make it go on from what its trial folder holds; empty where it cannot.
        seed: words with ``{seed}``; empty where it takes none.
    """

    command: tuple[str, ...]
    report: ScriptReport
    arguments: Mapping[str, str] = field(default_factory=dict)
    resume: tuple[str, ...] = ()
    seed: str = ""

    def command_line(self, config: Mapping[str, Any], trial_folder: str, seed: int, resumed: bool = False) -> list[str]:
        """The words that start it for the values of its variables, those that choices stand for.

        A placeholder in a value is none: it stays.
        """
        words = [filled(word, trial_folder=trial_folder) for word in self.command]
        for name, value in config.items():
            template = self.arguments.get(name, ARGUMENT)
            words += [filled(word, name=name, value=_written(value)) for word in shlex.split(template)]
        words += [filled(word, seed=seed) for word in shlex.split(self.seed)]
        return words + [filled(word, trial_folder=trial_folder) for word in (self.resume if resumed else ())]

    def to_dict(self) -> dict[str, Any]:
        """Its keys of a search space; `read_script` reads them again."""
        return {
            COMMAND: list(self.command),
            **({ARGUMENTS: dict(self.arguments)} if self.arguments else {}),
            REPORT: self.report.to_dict(),
            **({RESUME: list(self.resume)} if self.resume else {}),
            **({SEED: self.seed} if self.seed else {}),
        }


def _written(value: Any) -> str:
    """A value as an argument: as Python writes it, and JSON text such as ``[64, null]`` for what is no plain value."""
    return str(value) if isinstance(value, (bool, int, float, str)) else json.dumps(value, ensure_ascii=False)


def read_script(document: Document, variables: Collection[str], metrics: Collection[str]) -> Script:
    """Read the keys of a script.

    Args:
        variables: names of the variables of its search space.
        metrics: names of the figures that it reports.

    Raises:
        InputError: the first thing that breaks a rule, with its place.
    """
    command = _words(document, COMMAND)
    if not command:
        hint = f"write for example `{COMMAND}: python train.py --out_dir={{{FOLDER}}}`"
        raise InputError(f"`{COMMAND}` must start the script, but is empty", where=document.where(COMMAND), hint=hint)
    report, resume = _read_report(document, metrics), _words(document, RESUME)
    if resume and report.kind == "stdout" and STEP not in re.compile(report.source).groupindex:
        rule = f"a script that is resumed must tell its step, but `{REPORT}` has no group `{STEP}`"
        raise InputError(rule, where=document.where(REPORT), hint=r"write for example `step (?P<step>\d+): …`")
    return Script(command, report, _read_arguments(document, variables), resume, _read_seed(document))


def _words(document: Document, key: str) -> tuple[str, ...]:
    """The words of a command, given as a list or as a shell would take them."""
    found = document.data.get(key)
    if isinstance(found, str):
        found = words_of(found, document.where(key))
    if found is None:
        return ()
    if not isinstance(found, list) or not all(isinstance(word, (str, int, float)) for word in found):
        rule = f"`{key}` must be a list of words, but got {shown(found)}"
        raise InputError(rule, where=document.where(key), hint="put a word with braces in quotes")
    words = tuple(str(word) for word in found)
    check_placeholders(" ".join(words), (FOLDER,), document.where(key))
    return words


def _read_arguments(document: Document, variables: Collection[str]) -> dict[str, str]:
    found = document.data.get(ARGUMENTS)
    if isinstance(found, str):
        check_placeholders(found, ("name", "value"), document.where(ARGUMENTS), ("name", "value"))
        words_of(found, document.where(ARGUMENTS))
        return {} if found == ARGUMENT else dict.fromkeys(variables, found)
    templates = document.mapping(ARGUMENTS)
    for name, template in templates.items():
        where = document.where(ARGUMENTS, name)
        if name not in variables:
            raise InputError(f"a name must be a variable, but got `{name}`", where=where, hint=nearest(name, variables))
        if not isinstance(template, str):
            rule = f"an argument must be a text, but got {shown(template)}"
            raise InputError(rule, where=where, hint=f'write for example `"-{name[0]} {{value}}"`')
        check_placeholders(template, ("name", "value"), where, ("value",))
        words_of(template, where)
    return templates


def _read_seed(document: Document) -> str:
    found = document.data.get(SEED)
    if found is None:
        return ""
    where = document.where(SEED)
    if not isinstance(found, str):
        rule = f"`{SEED}` must be the script's argument, but got {shown(found)}"
        raise InputError(rule, where=where, hint="write for example `--seed={seed}`; the sweep's own is `search.seed`")
    check_placeholders(found, ("seed",), where, ("seed",))
    words_of(found, where)
    return found


def _read_report(document: Document, metrics: Collection[str]) -> ScriptReport:
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
        rule = f"`{kind}` must be a text, but got {shown(source)}"
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
        # What all trials share holds another trial's figures, too, and they would be read as this one's.
        hint = f"give the script its folder, too: `{COMMAND}: python train.py --out_dir={{{FOLDER}}}`"
        check_placeholders(source, (FOLDER,), where, (FOLDER,), hint)
    return ScriptReport(kind, source, every, tuple(skip))


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _check_expression(source: str, metrics: Collection[str], where: str, counts: bool) -> None:
    """Refuse an expression whose groups are not the metrics, with or without a step."""
    try:
        groups = set(re.compile(source).groupindex)
    except re.error as error:
        rule = f"`stdout` must be a regular expression, but {error} in {shown(source)}"
        raise InputError(rule, where=where, hint="in single quotes YAML leaves every backslash as it is") from None
    missing, unknown = sorted(set(metrics) - groups), sorted(groups - {*metrics, STEP})
    if missing:
        rule = f"`stdout` must have a group for each metric, but has none for `{missing[0]}`"
        raise InputError(rule, where=where, hint=rf"write for example `{missing[0]}: (?P<{missing[0]}>\S+)`")
    if unknown:
        rule = f"a group must be a metric or `{STEP}`, but got `{unknown[0]}`"
        raise InputError(rule, where=where, hint=nearest(unknown[0], [*metrics, STEP]))
    if counts and STEP not in groups:
        rule = f"`every` and `skip` must go with a group `{STEP}`, but `stdout` has none"
        raise InputError(rule, where=where, hint=rf"write for example `step (?P<{STEP}>\d+): …`")
