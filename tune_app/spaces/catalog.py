"""A task's catalog of variables: finding one by name, and checking one value against its domain."""

from __future__ import annotations

import contextlib

from tune_app.errors import InputError, nearest
from tune_app.spaces.variable import GROUPS, Categorical, Domain, Float, Int, Value, Variable

Catalog = tuple[Variable, ...]


def find_variable(key: str, variables: Catalog, where: str = "") -> Variable:
    """Find a variable by its name or by ``group.name``.

    Raises:
        InputError: there is no such group or variable, or the variable belongs to another group.
    """
    group, _, name = key.rpartition(".")
    if group:
        check_group(group, where)
    by_name = {v.name: v for v in variables}
    if name not in by_name:
        raise InputError(
            f"a name must be a variable of the task, but got `{name}`", where=where, hint=nearest(name, by_name)
        )
    found = by_name[name]
    if group and group != found.group:
        raise InputError(
            f"a variable must stand under its own group, but got `{name}` under `{group}`",
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
    """Check `value` against the variable's domain (or `domain`, a part of it) and give it as the variable's type.

    Raises:
        InputError: it is not of the domain.
    """
    domain = domain or variable.domain
    if not domain.contains(value):
        raise InputError(
            f"`{variable.name}` must be {domain.describe()}, but got {value!r}",
            where=where,
            hint=_nearest_value(domain, value) or variable.description,
        )
    return as_member(domain, value)  # type: ignore[arg-type]


def as_member(domain: Domain, value: Value) -> Value:
    """The value as `domain` itself writes it: 1 is 1.0 to a float, and 8.0 is 8 to the choices 8 and 16."""
    match domain:
        case Float():
            return float(value)
        case Int():
            return int(value)
        case Categorical():
            return domain.choices[domain.choices.index(value)]


def parse_value(variable: Variable, text: str, where: str = "") -> Value:
    """Read a shell's text, such as ``1e-4``, ``true`` or ``adam``, as a value of the variable's type.

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
                value = next((c for c in domain.choices if _stands_for(text, c)), text)
    return check_value(variable, value, where)


def _stands_for(text: str, choice: Value) -> bool:
    if isinstance(choice, bool):
        return text.lower() == str(choice).lower()
    if isinstance(choice, str):
        return text == choice
    try:
        return float(text) == choice
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
