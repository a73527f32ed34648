"""A task's catalog: its variables and metrics as plain data, and checks of names and values against it.

A study keeps the catalog of its task, so that results, profiles, the API and the page need neither the task nor torch.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from tune_app.document import Document
from tune_app.errors import InputError, nearest
from tune_app.spaces.script import Script, read_script
from tune_app.spaces.variable import (
    DIRECTIONS,
    GROUPS,
    Categorical,
    Config,
    Direction,
    Domain,
    Float,
    Int,
    Value,
    Variable,
    domain_from_dict,
    resolved,
)

SCHEMA_VERSION = 1

Variables = tuple[Variable, ...]


@dataclass(frozen=True)
class Catalog:
    """Everything that others need to know about a task.

    Attributes:
        task: its name: one of our tasks, or ``package.module:Class``.
        variables: **all** of its variables, in the order of results and forms.
        constraints: expressions over its variables that every configuration must satisfy.
        metrics: every metric of an epoch, with the direction in which it is better; None if that is unknown, as for a
            study from before studies stored their catalogs.
        data_parallel: whether several devices can train one configuration.
        open: whether the search space defines its variables and metrics, as for a function or a script.
        flat: whether a function gets names with dots unchanged, instead of nested mappings.
        script: the command of a script; None for all other tasks.
    """

    task: str
    variables: Variables
    constraints: tuple[str, ...] = ()
    metrics: Mapping[str, Direction | None] = field(default_factory=dict)
    data_parallel: bool = False
    open: bool = False
    flat: bool = False
    script: Script | None = None

    def to_dict(self) -> dict[str, Any]:
        """The catalog as plain values, as stored in ``catalog.json``; `from_dict` restores an equal one."""
        return {
            "schema_version": SCHEMA_VERSION,
            "task": self.task,
            "variables": [_variable_to_dict(variable) for variable in self.variables],
            "constraints": list(self.constraints),
            "metrics": dict(self.metrics),
            "data_parallel": self.data_parallel,
            **({"open": True} if self.open else {}),
            **({"flat": True} if self.flat else {}),
            **({"script": self.script.to_dict()} if self.script else {}),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], where: str = "") -> Catalog:
        """Read what `to_dict` wrote.

        Raises:
            InputError: it is not a catalog, or of an unknown version.
        """
        version = document.get("schema_version")
        if version != SCHEMA_VERSION:
            rule = f"the catalog must be of schema version {SCHEMA_VERSION}, but got {version!r}"
            raise InputError(rule, where=where, hint="use the version of tune-app that wrote it")
        try:
            variables = tuple(
                Variable(**{**variable, "domain": domain_from_dict(variable["domain"])})
                for variable in document["variables"]
            )
            metrics = {name: _direction(found) for name, found in document["metrics"].items()}
            return cls(
                task=document["task"],
                variables=variables,
                constraints=tuple(document["constraints"]),
                metrics=metrics,
                data_parallel=bool(document["data_parallel"]),
                open=bool(document.get("open", False)),
                flat=bool(document.get("flat", False)),
                script=_script(document.get("script"), variables, metrics, where),
            )
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            problem = f"{type(error).__name__}: {error}"
            raise InputError(f"the file must be a catalog of a task, but {problem}", where=where) from error


def arranged(config: Config, catalog: Catalog) -> dict[str, Any]:
    """A configuration as a function gets it: values of named choices, and names with dots as nested mappings."""
    found: dict[str, Any] = {}
    for variable in catalog.variables:
        *above, last = [variable.name] if catalog.flat else variable.name.split(".")
        place = found
        for part in above:
            place = place.setdefault(part, {})
        place[last] = deepcopy(resolved(variable, config[variable.name]))
    return found


def _variable_to_dict(variable: Variable) -> dict[str, Any]:
    fields = ("name", "group", "default", "description", "when", "searchable")
    values = {} if variable.values is None else {"values": dict(variable.values)}
    return {**{key: getattr(variable, key) for key in fields}, "domain": variable.domain.to_dict(), **values}


def _script(found: Any, variables: Variables, metrics: Mapping[str, Any], where: str) -> Script | None:
    if found is None:
        return None
    return read_script(Document.of(found, where), [variable.name for variable in variables], metrics)


def _direction(found: str | None) -> Direction | None:
    if found is not None and found not in DIRECTIONS:
        raise ValueError(f"a direction must be {' or '.join(DIRECTIONS)}, but got {found!r}")
    return found


def find_variable(key: str, variables: Variables, where: str = "") -> Variable:
    """Find a variable by its name or by ``group.name``.

    Raises:
        InputError: there is no such group or variable, or the variable belongs to another group.
    """
    by_name = {v.name: v for v in variables}
    group, name = ("", key) if key in by_name or "." not in key else key.split(".", 1)
    if group:
        check_group(group, where)
    if name not in by_name:
        raise InputError(
            f"a name must be a variable of the task, but got `{name}`", where=where, hint=nearest(name, by_name)
        )
    found = by_name[name]
    if group and group != found.group:
        raise InputError(
            f"a variable must be in its own group, but got `{name}` under `{group}`",
            where=where,
            hint=f"`{name}` belongs to `{found.group}`: write {found.key}",
        )
    return found


def check_group(group: str, where: str = "") -> None:
    """Check the name of a group.

    Raises:
        InputError: it is not one of the four.
    """
    if group not in GROUPS:
        rule = f"a group must be one of the four, but got `{group}`"
        raise InputError(rule, where=where, hint=nearest(group, GROUPS))


def check_value(variable: Variable, value: object, where: str = "", domain: Domain | None = None) -> Value:
    """Check `value` against the variable's domain (or `domain`, a part of it) and convert it to the variable's type.

    Raises:
        InputError: it is not in the domain.
    """
    domain = domain or variable.domain
    if not domain.contains(value):
        raise InputError(
            f"`{variable.name}` must be {domain.describe()}, but got {value!r}",
            where=where,
            hint=_meant_text(domain, value)
            or _meant_number(domain, value)
            or _nearest_value(domain, value)
            or variable.description,
        )
    return as_member(domain, value)  # type: ignore[arg-type]


def as_member(domain: Domain, value: Value) -> Value:
    """The value in the form that `domain` uses: 1 is 1.0 to a float, and 8.0 is 8 to the choices 8 and 16."""
    match domain:
        case Float():
            return float(value)
        case Int():
            return int(value)
        case Categorical():
            return domain.choices[domain.choices.index(value)]


def parse_value(variable: Variable, text: str, where: str = "") -> Value:
    """Parse a string from a shell, such as ``1e-4``, ``true`` or ``adam``, as a value of the variable's type.

    Raises:
        InputError: it is not a value of the variable's domain.
    """
    value: object = text
    domain = variable.domain
    with contextlib.suppress(ValueError):
        match domain:
            case Float():
                value = float(text)
            case Int():
                value = int(text)
            case Categorical():
                value = next((c for c in domain.choices if _stands_for(text, c)), _named_by(variable, text))
    return check_value(variable, value, where)


def _named_by(variable: Variable, text: str) -> str:
    """The choice whose value equals `text` as JSON; otherwise `text` itself."""
    try:
        meant = json.loads(text)
    except ValueError:
        return text
    return next((name for name, value in (variable.values or {}).items() if value == meant), text)


def _stands_for(text: str, choice: Value) -> bool:
    if isinstance(choice, bool):
        return text.lower() == str(choice).lower()
    if isinstance(choice, str):
        return text == choice
    try:
        return float(text) == choice
    except ValueError:
        return False


def _meant_text(domain: Domain, value: object) -> str:
    """The hint that a choice is a string, which YAML reads as a number or boolean without quotes."""
    if not isinstance(domain, Categorical) or isinstance(value, str) or not isinstance(value, (bool, int, float)):
        return ""
    texts = [choice for choice in domain.choices if isinstance(choice, str) and _reads_as(choice, value)]
    return f'that choice is a string: put it in quotes, "{texts[0]}"' if texts else ""


def _meant_number(domain: Domain, value: object) -> str:
    """The hint that a number is a string because of its quotes."""
    if isinstance(domain, Categorical) or not isinstance(value, str):
        return ""
    text = value.strip("'\" ")
    try:
        return f"remove the quotes: {text}" if domain.contains(float(text)) else ""
    except ValueError:
        return ""


def _reads_as(text: str, value: bool | int | float) -> bool:
    if isinstance(value, bool):
        return text.lower() == str(value).lower()
    try:
        return float(text) == value
    except ValueError:
        return False


def _nearest_value(domain: Domain, value: object) -> str:
    if isinstance(domain, Categorical):
        return nearest(value, map(str, domain.choices))
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        return ""
    return f"the nearest valid value is {domain.low if value < domain.low else domain.high}" * (
        not domain.low <= value <= domain.high
    )
