"""A sweep file of Weights & Biases as a search space of a script."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from tune_app.document import Document, shown
from tune_app.errors import InputError, nearest
from tune_app.spaces.placeholders import literal
from tune_app.spaces.script import ARGUMENT
from tune_app.spaces.section import unknown_key
from tune_app.spaces.variable import DIRECTIONS
from tune_app.spaces.wandb_parameters import read_parameters

KEYS = (
    *("program", "method", "metric", "parameters", "command", "early_terminate", "run_cap"),
    *("name", "description", "project", "entity", "controller"),
)
METHODS = {"bayes": "auto", "random": "random", "grid": "grid"}
"""Methods, and the samplers that replace them."""
COMMAND = ("${env}", "${interpreter}", "${program}", "${args}")
"""The default command."""
NO_FLAGS = "${args_no_boolean_flags}"
ARGUMENTS = {"${args}": ARGUMENT, NO_FLAGS: ARGUMENT, "${args_no_hyphens}": "{name}={value}"}
VARIABLE = re.compile(r"\$\{envvar:[^}]*\}")
METRIC_KEYS = ("name", "goal", "target", "impute", "impute_while_running")


@dataclass
class Imported:
    """A search space converted from another format.

    Attributes:
        space: the search space, plain values in their order.
        notes: what has no equivalent or needs a check, one sentence each.
    """

    space: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def read_sweep(document: Document) -> Imported:
    """Read a sweep file.

    Raises:
        InputError: it is not a sweep file, or a value in it is invalid.
    """
    for key in document.data:
        if key not in KEYS:
            raise unknown_key(key, KEYS, document.where(key))
    notes: list[str] = []
    name, direction = _metric(document, notes)
    space: dict[str, Any] = {"schema_version": 1, "name": _name(document), "task": "script"}
    words, form = _command(document, notes)
    originals = read_parameters(document, ("parameters",), "", notes)
    variables = _named(originals, notes)
    space["command"] = words
    space |= _arguments(form, dict(zip(variables, originals, strict=True)))
    space["report"] = _report(name, notes)
    space["metrics"] = {name: direction}
    if "run_cap" in document.data:
        space["budget"] = {"trials": document.data["run_cap"]}
    space["search"] = {"sampler": _sampler(document)}
    space["pruning"] = _pruning(document, notes)
    space["parameters"] = {"training": variables}
    notes += [f"`{key}` has no equivalent" for key in ("project", "entity", "controller") if key in document.data]
    return Imported(space, notes)


def _metric(document: Document, notes: list[str]) -> tuple[str, str]:
    found = document.mapping("metric")
    for key in found:
        if key not in METRIC_KEYS:
            raise unknown_key(key, METRIC_KEYS, document.where("metric", key))
    notes += [f"`metric.{key}` has no equivalent" for key in METRIC_KEYS[2:] if key in found]
    name, goal = found.get("name"), found.get("goal", "minimize")
    if not isinstance(name, str) or not name:
        rule = f"`metric` must have a name, but got {shown(document.data.get('metric'))}"
        raise InputError(rule, where=document.where("metric"), hint="write `metric: {name: val_loss, goal: minimize}`")
    if goal not in DIRECTIONS:
        rule = f"`goal` must be {' or '.join(DIRECTIONS)}, but got {shown(goal)}"
        raise InputError(rule, where=document.where("metric", "goal"), hint=nearest(goal, DIRECTIONS))
    return name, str(goal)


def _name(document: Document) -> str:
    """The sweep's name, or its program's, in the characters allowed in a search space."""
    given = document.data.get("name") or PurePath(str(document.data.get("program", "sweep"))).stem
    return re.sub(r"[^a-z0-9]+", "-", str(given).lower()).strip("-")[:64] or "sweep"


def _report(metric: str, notes: list[str]) -> dict[str, str]:
    notes.append(
        "`report`: tune-app cannot see what a script sends to W&B; check where it prints or writes its metrics"
    )
    if metric.isidentifier():
        return {"stdout": rf"(?<![\w.]){metric}[^\w.+-]+(?P<{metric}>[-+\w.]+)"}
    return {"jsonl": "{trial_folder}/metrics.jsonl"}


def _sampler(document: Document) -> str:
    method = document.data.get("method", "bayes")
    if method not in METHODS:
        rule = f"`method` must be one of {', '.join(METHODS)}, but got {shown(method)}"
        raise InputError(rule, where=document.where("method"), hint=nearest(method, METHODS))
    return METHODS[method]


def _pruning(document: Document, notes: list[str]) -> dict[str, str]:
    if "early_terminate" not in document.data:
        return {"level": "off"}
    notes.append("`early_terminate`: its settings have no equivalent; asha stops trials instead, at level normal")
    return {"scheduler": "asha", "level": "normal"}


def _named(parameters: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """The parameters under valid variable names."""
    found: dict[str, Any] = {}
    for original, value in parameters.items():
        parts = [re.sub(r"\W", "_", part) for part in original.split(".")]
        name = ".".join(part if part.isidentifier() else f"_{part}" for part in parts)
        while name in found or (name != original and name in parameters):
            name += "_"
        if name != original:
            notes.append(f"`{original}` is named `{name}` here, and passed to the script as `{original}`")
        found[name] = value
    return found


def _arguments(form: str, originals: Mapping[str, str]) -> dict[str, Any]:
    """The key `arguments`, unless the variables are passed as `ARGUMENT` under their own names."""
    renamed = {name: form.replace("{name}", original) for name, original in originals.items() if name != original}
    if form == ARGUMENT:
        return {"arguments": renamed} if renamed else {}
    return {"arguments": {name: form.replace("{name}", original) for name, original in originals.items()}}


def _command(document: Document, notes: list[str]) -> tuple[list[str], str]:
    """The words of the command without the variables, and how to pass each variable."""
    given = document.data.get("command", list(COMMAND))
    if not isinstance(given, list) or not all(isinstance(word, (str, int, float)) for word in given):
        rule = f"`command` must be a list of words, but got {shown(given)}"
        raise InputError(rule, where=document.where("command"))
    words: list[str] = []
    arguments = ""
    for word in map(str, given):
        if word in ARGUMENTS:
            arguments = word
        elif word.startswith("${args"):
            notes.append(f"`{word}` of `command` has no equivalent: variables are passed as --name=value")
        elif word != "${env}":
            if arguments:
                notes.append(f"`{word}` of `command` comes before the variables here, which come last")
            words.append(literal(_macro(document, word, notes)))
    if arguments == NO_FLAGS:
        notes.append(f"`{arguments}` of `command`: true and false are passed as --flag=True and --flag=False")
    if not arguments:
        notes.append("`command` takes no `${args}`, but here the variables follow it, as --name=value")
    return words, ARGUMENTS.get(arguments, ARGUMENT)


def _macro(document: Document, word: str, notes: list[str]) -> str:
    """The value of a word of the command, except for environment variables, which belong to another machine."""
    if word == "${interpreter}":
        return "python"
    if word == "${program}":
        program = document.data.get("program")
        if not isinstance(program, str) or not program:
            rule = f"`program` must name the script, but got {shown(program)}"
            raise InputError(rule, where=document.where("program"))
        return program
    for variable in VARIABLE.findall(word):
        notes.append(f"`{variable}` in `{word}` of `command` has no equivalent: write its value instead")
    return word
