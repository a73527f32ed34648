"""A script as a task: how to start it, and which of its output is an epoch."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from tune_app.document import Document, shown
from tune_app.errors import InputError, nearest
from tune_app.spaces.placeholders import FOLDER, check_placeholders, filled, words_of
from tune_app.spaces.script_report import REPORT, STEP, ScriptReport, read_report

SCRIPT = "script"
"""The task of a search space that has a command."""
COMMAND, ARGUMENTS, RESUME, SEED = "command", "arguments", "resume", "seed"
KEYS = (COMMAND, ARGUMENTS, REPORT, RESUME, SEED)
"""The keys of a search space that belong to a script."""
ARGUMENT = "--{name}={value}"


@dataclass(frozen=True)
class Script:
    """A command that trains one configuration.

    Attributes:
        command: its words; ``{trial_folder}`` in them is the trial's folder.
        arguments: how to pass each variable, by name; `ARGUMENT` for those not listed.
        resume: arguments that make it continue from its trial folder; empty if it cannot.
        seed: arguments with ``{seed}``; empty if it takes no seed.
    """

    command: tuple[str, ...]
    report: ScriptReport
    arguments: Mapping[str, str] = field(default_factory=dict)
    resume: tuple[str, ...] = ()
    seed: str = ""

    def command_line(self, config: Mapping[str, Any], trial_folder: str, seed: int, resumed: bool = False) -> list[str]:
        """The command line for given values of its variables (choices resolved to their values).

        Placeholders inside a value are literal.
        """
        words = [filled(word, trial_folder=trial_folder) for word in self.command]
        for name, value in config.items():
            template = self.arguments.get(name, ARGUMENT)
            words += [filled(word, name=name, value=_written(value)) for word in shlex.split(template)]
        words += [filled(word, seed=seed) for word in shlex.split(self.seed)]
        return words + [filled(word, trial_folder=trial_folder) for word in (self.resume if resumed else ())]

    def to_dict(self) -> dict[str, Any]:
        """Its keys in a search space; `read_script` reads them back."""
        return {
            COMMAND: list(self.command),
            **({ARGUMENTS: dict(self.arguments)} if self.arguments else {}),
            REPORT: self.report.to_dict(),
            **({RESUME: list(self.resume)} if self.resume else {}),
            **({SEED: self.seed} if self.seed else {}),
        }


def _written(value: Any) -> str:
    """A value as an argument: as Python prints it, or JSON such as ``[64, null]`` if it is not plain."""
    return str(value) if isinstance(value, (bool, int, float, str)) else json.dumps(value, ensure_ascii=False)


def read_script(document: Document, variables: Collection[str], metrics: Collection[str]) -> Script:
    """Read the keys of a script.

    Args:
        variables: names of the variables of its search space.
        metrics: names of the metrics that it reports.

    Raises:
        InputError: the first thing that breaks a rule, with its place.
    """
    command = _words(document, COMMAND)
    if not command:
        hint = f"write for example `{COMMAND}: python train.py --out_dir={{{FOLDER}}}`"
        raise InputError(
            f"`{COMMAND}` must start the script, but it is empty", where=document.where(COMMAND), hint=hint
        )
    report, resume = read_report(document, metrics), _words(document, RESUME)
    if resume and report.kind == "stdout" and STEP not in re.compile(report.source).groupindex:
        rule = f"a resumable script must report its step, but `{REPORT}` has no group `{STEP}`"
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
            rule = f"an argument must be a string, but got {shown(template)}"
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
