"""The catalog of a task without its own: it uses the variables and metrics of the search space."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tune_app.document import Document, shown
from tune_app.errors import InputError, nearest
from tune_app.spaces.catalog import Catalog
from tune_app.spaces.parameters import DESCRIBED, PARAMETERS, parameter_keys, read_domain
from tune_app.spaces.script import SCRIPT, read_script
from tune_app.spaces.variable import DIRECTIONS, Categorical, Direction, Domain, Float, Int, Value, Variable

METRICS, FLAT = "metrics", "flat"
WIDE = 2**53
"""Users may change a fixed number to any other of its type up to this size."""


def completed(catalog: Catalog, document: Document) -> Catalog:
    """`catalog` with the variables and metrics of a search space, and with the command if it is a script.

    Raises:
        InputError: the first thing that breaks a rule, with its place.
    """
    variables = tuple(_variable(document, group, name) for group, name in parameter_keys(document))
    if not variables:
        rule = f"`{PARAMETERS}` must have at least one variable, because `{catalog.task}` defines none itself"
        raise InputError(rule, where=document.where(PARAMETERS))
    _check_nesting(variables, document)
    flat = document.data.get(FLAT, False)
    if not isinstance(flat, bool):
        raise InputError(f"`{FLAT}` must be true or false, but got {shown(flat)}", where=document.where(FLAT))
    metrics = _metrics(document, catalog.task)
    names = [variable.name for variable in variables]
    script = read_script(document, names, metrics) if catalog.task == SCRIPT else None
    return replace(catalog, variables=variables, metrics=metrics, flat=flat, script=script)


def _check_nesting(variables: tuple[Variable, ...], document: Document) -> None:
    """Reject a name under which others are nested."""
    names = {variable.name: variable for variable in variables}
    for variable in variables:
        parts = variable.name.split(".")
        for above in (".".join(parts[:depth]) for depth in range(1, len(parts))):
            if above in names:
                rule = f"a name must be a variable or a prefix of others, but `{above}` is both"
                where = document.where(PARAMETERS, variable.group, variable.name)
                raise InputError(rule, where=where, hint=f"rename `{above}` or `{variable.name}`")


def _metrics(document: Document, task: str) -> dict[str, Direction | None]:
    found = document.data.get(METRICS)
    if not isinstance(found, dict) or not found:
        rule = f"`{METRICS}` must list what `{task}` reports, but got {shown(found)}"
        raise InputError(rule, where=document.where(METRICS), hint="write for example `metrics: {val_loss: minimize}`")
    for name, direction in found.items():
        if direction not in DIRECTIONS:
            rule = f"a metric must {' or '.join(DIRECTIONS)}, but `{name}` is {shown(direction)}"
            raise InputError(rule, where=document.where(METRICS, name), hint=nearest(direction, DIRECTIONS))
    return dict(found)


def _variable(document: Document, group: str, name: str) -> Variable:
    path = (PARAMETERS, group, name)
    content = document.mapping(PARAMETERS, group)[name]
    where = document.where(*path)
    values: Mapping[str, Any] | None = None
    if isinstance(content, dict):
        choices, values = _named(content.get("choices"))
        plain = content if values is None else {**content, "choices": choices}
        domain = read_domain(name, plain, document, path, more_keys=DESCRIBED)
        default = content["default"] if "default" in content else middle(domain)
        if values is not None:
            default = _name_of(default)
        description = content.get("description", "")
    elif isinstance(content, list) and content:
        default, description = _name_of(content), ""
        domain, values = Categorical((default,)), {default: content}
    else:
        try:
            domain, default, description = _domain_of(content, where), content, ""
        except ValueError as error:
            raise InputError(f"`{name}`: {error}", where=where) from None
    if not isinstance(description, str):
        rule = f"`description` must be a string, but got {shown(description)}"
        raise InputError(rule, where=document.where(*path, "description"))
    if isinstance(content, dict) and "default" not in content:
        which = "first choice" if isinstance(domain, Categorical) else "middle of its range"
        description = f"{description} The default is the {which}.".lstrip()
    try:
        return Variable(name, group, domain, default, description, values=values)  # type: ignore[arg-type]
    except ValueError as error:
        raise InputError(str(error), where=where) from None


def _named(choices: Any) -> tuple[Any, Mapping[str, Any] | None]:
    """Choices with a name for each value that is not plain, and the values of the names; None if all are plain."""
    if isinstance(choices, dict):
        return list(choices), choices
    if not isinstance(choices, list) or all(map(_is_plain, choices)):
        return choices, None
    return [_name_of(choice) for choice in choices], {_name_of(c): c for c in choices if not _is_plain(c)}


def _is_plain(value: Any) -> bool:
    return isinstance(value, (bool, int, float, str))


def _name_of(value: Any) -> Any:
    """A plain value itself; otherwise its JSON string, such as ``[64, 32]`` or ``null``."""
    return value if _is_plain(value) else json.dumps(value)


def middle(domain: Domain) -> Value:
    """The middle of a range, on a logarithmic scale if it uses one; or the first choice."""
    if isinstance(domain, Categorical):
        return domain.choices[0]
    low, high = float(domain.low), float(domain.high)
    return domain.nearest((low * high) ** 0.5 if domain.log else (low + high) / 2)


def _domain_of(value: Any, where: str) -> Domain:
    """What a fixed value may be changed to: numbers of its type, true and false; a string only to itself."""
    if isinstance(value, bool):
        return Categorical((True, False))
    if isinstance(value, int):
        return Int(min(-WIDE, value), max(WIDE, value))
    if isinstance(value, float):
        return Float(min(-float(WIDE), value), max(float(WIDE), value))
    if isinstance(value, str):
        return Categorical((value,))
    raise InputError(
        f"a parameter must have a value or a mapping with a `type`, but got {shown(value)}",
        where=where,
        hint="write for example `0.1`, or `{type: float, low: 0.0, high: 0.5}` to search",
    )
