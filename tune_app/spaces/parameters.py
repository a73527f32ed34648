"""Converts the `parameters` and `constraints` of a search space file to a `Space` and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tune_app.document import Document, shown
from tune_app.errors import InputError, nearest
from tune_app.spaces import dialect
from tune_app.spaces.catalog import Catalog, Variables, check_group, check_value, find_variable, parse_value
from tune_app.spaces.expression import Expression
from tune_app.spaces.feasibility import check_feasible
from tune_app.spaces.section import unknown_key
from tune_app.spaces.space import Space
from tune_app.spaces.variable import DOMAIN_TYPES, GROUPS, Categorical, Domain, Float, Int, Value, Variable, resolved

PARAMETERS, CONSTRAINTS = "parameters", "constraints"
KEYS = {
    "float": ("type", "low", "high", "log", "step", "when"),  # the domain's between the first and the last
    "int": ("type", "low", "high", "log", "step", "when"),
    "categorical": ("type", "choices", "when"),
}
DESCRIBED = ("default", "description")
"""Keys of a variable that is not in a task's catalog, see `open_catalog.py`."""
SEARCHED_AS: dict[type[Domain], tuple[str, ...]] = {
    Float: ("float", "int", "categorical"),
    Int: ("int", "categorical"),
    Categorical: ("categorical",),
}


def read_space(document: Document, catalog: Catalog) -> Space:
    """Read a search space over a task's variables, with both the task's and the file's constraints.

    Raises:
        InputError: the first violation, with its place in the file.
    """
    variables = catalog.variables
    searched: dict[str, Domain] = {}
    fixed: dict[str, Value] = {}
    places: dict[str, str] = {}
    when: dict[str, Expression] = {}
    remarks: list[str] = []
    for group, name in parameter_keys(document):
        path = (PARAMETERS, group, name)
        variable = find_variable(f"{group}.{name}", variables, document.where(*path))
        content = document.mapping(PARAMETERS, group)[name]
        if not isinstance(content, dict):
            fixed[name] = _read_fixed(variable, content, document, path)
            continue
        if not variable.searchable:
            raise InputError(
                f"`{name}` must have a single value, because trials that differ in it are not comparable",
                where=document.where(*path),
                hint=f"write for example `{name}: {variable.default}`",
            )
        searched[name] = variable.domain if catalog.open else _read_domain(variable, content, document, path)
        remarks += _remarks(name, searched[name], content)
        condition = variable.when if content.get("when") is None else content["when"]
        if condition is not None:
            place = document.where(*path, "when")
            when[name] = _check_names(_parse(condition, place), variables, place)
            places[when[name].text] = place
    own = [_check_names(expression, variables, place) for expression, place in read_constraints(document)]
    places |= {expression.text: place for expression, place in read_constraints(document)}
    every = tuple(dict.fromkeys([*own, *map(Expression.parse, catalog.constraints)]))
    space = Space(variables, searched, fixed, when, every, tuple(remarks))
    _check(space, places, document.where(CONSTRAINTS))
    return space


def fix(document: Document, variables: Variables, key: str, value: object) -> Document:
    """The document with the variable ``group.name`` fixed, as for ``--set``; a string is parsed as the variable's type.

    Raises:
        InputError: an unknown variable, or a value outside its domain.
    """
    place = f"override {PARAMETERS}.{key}"
    variable = find_variable(key, variables, place)
    value = parse_value(variable, value, place) if isinstance(value, str) else check_value(variable, value, place)
    return document.replaced((PARAMETERS, variable.group, variable.name), value)


def write_parameters(space: Space, described: bool = False) -> dict[str, dict[str, Any]]:
    """The `parameters` that `read_space` reads as this space: every searched and fixed variable by group.

    Args:
        described: also write defaults and descriptions, which are not in a task's catalog.
    """
    parameters: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
    for variable in space.variables:
        name = variable.name
        if name in space.searched:
            when = {"when": space.when[name].text} if name in space.when else {}
            told = {key: getattr(variable, key) for key in DESCRIBED} if described else {}
            parameters[variable.group][name] = space.searched[name].to_dict() | _named(variable) | when | told
        elif name in space.fixed:
            parameters[variable.group][name] = resolved(variable, space.fixed[name])
    return parameters


def _named(variable: Variable) -> dict[str, Any]:
    """The named choices of a variable, as a search space writes them."""
    if variable.values is None or not isinstance(variable.domain, Categorical):
        return {}
    return {"choices": {str(choice): resolved(variable, choice) for choice in variable.domain.choices}}


def parameter_keys(document: Document) -> list[tuple[str, str]]:
    """Every ``(group, name)`` under `parameters`."""
    for group in document.mapping(PARAMETERS):
        check_group(group, document.where(PARAMETERS, group))
    return [(group, name) for group in GROUPS for name in document.mapping(PARAMETERS, group)]


def _read_fixed(variable: Variable, content: object, document: Document, path: tuple[str, ...]) -> Value:
    if content is None or isinstance(content, list):
        if content and variable.values is not None:  # it has no other value, see `open_catalog.py`
            return variable.default
        raise InputError(
            f"a parameter must have a value or a mapping with a `type`, but got {shown(content)}",
            where=document.where(*path),
            hint=f"write `{{type: categorical, choices: {shown(content)}}}` to search them"
            if isinstance(content, list) and content
            else "write for example `0.1`, or `{type: float, low: 0.0, high: 0.5}` to search",
        )
    return check_value(variable, content, document.where(*path))


def _read_domain(variable: Variable, content: Mapping[str, Any], document: Document, path: tuple[str, ...]) -> Domain:
    """Read a domain that must be within the variable's own."""
    kinds = SEARCHED_AS[type(variable.domain)]
    domain = read_domain(variable.name, content, document, path, kinds, hint=variable.domain.describe())
    return _within(variable, domain, document, path)


def read_domain(
    name: str,
    content: Mapping[str, Any],
    document: Document,
    path: tuple[str, ...],
    kinds: Sequence[str] = tuple(KEYS),
    more_keys: Sequence[str] = (),
    hint: str = "",
) -> Domain:
    """Read ``{type: …, low: …, high: …}`` or ``{type: categorical, choices: …}``.

    Args:
        kinds: types that the variable can have.
        more_keys: additional keys, which the caller reads.
        hint: its valid values, for a message.

    Raises:
        InputError: a key or a value is invalid.
    """
    where = document.where(*path)
    kind = content.get("type")
    for key in content:
        if key in dialect.KEYS:
            place = document.where(*path, key)
            valid_keys = ", ".join(sorted({key for keys in KEYS.values() for key in keys}))
            rule = f"a key must be one of those below, but got `{key}`"
            raise InputError(rule, where=place, hint=f"{dialect.KEYS[key]}. Valid: {valid_keys}")
    if not isinstance(kind, str) or kind not in kinds:
        raise InputError(
            f"the `type` of `{name}` must be one of {', '.join(kinds)}, but got "
            + ("none" if kind is None else shown(kind)),
            where=document.where(*path, "type"),
            hint=f"write `{dialect.TYPES[str(kind)]}`" if kind in dialect.TYPES else nearest(kind, kinds),
        )
    for key in content:
        if key not in (valid := (*KEYS[kind], *more_keys)):
            raise unknown_key(key, valid, document.where(*path, key))
    required = ("choices",) if kind == "categorical" else ("low", "high")
    for key in required:
        if key not in content:
            raise InputError(f"`{key}` is required for type {kind}, but it is missing", where=where)
    if not isinstance(content.get("log", False), bool):
        place = document.where(*path, "log")
        raise InputError(f"`log` must be true or false, but got {shown(content['log'])}", where=place)
    try:
        domain: Domain = DOMAIN_TYPES[kind](**{k: content[k] for k in KEYS[kind][1:-1] if k in content})
    except ValueError as error:
        raise InputError(str(error), where=where, hint=f"{name}: {hint}" if hint else "") from None
    return domain


def _remarks(name: str, domain: Domain, content: Mapping[str, Any]) -> list[str]:
    """Warnings about input that is valid but probably not intended."""
    if isinstance(domain, Categorical):
        return [f"`{name}` is searched but has only one choice, {domain.choices[0]}"] * (len(domain.choices) == 1)
    remarks = []
    if domain.high < content["high"]:
        steps = f"from {domain.low:g} in steps of {domain.step:g}"
        remarks.append(f"`{name}` ends at {domain.high:g}: {steps} it does not reach {content['high']:g}")
    if domain.low == domain.high:
        remarks.append(f"`{name}` is searched but has only one value, {domain.low:g}")
    return remarks


def _within(variable: Variable, domain: Domain, document: Document, path: tuple[str, ...]) -> Domain:
    """Check that every value of `domain` is one of the variable's; a float's choices become floats."""
    if isinstance(domain, Categorical):
        choices = [check_value(variable, c, document.where(*path, "choices")) for c in domain.choices]
        return Categorical(tuple(choices))
    for end in ("low", "high"):
        check_value(variable, getattr(domain, end), document.where(*path, end))
    grid = getattr(variable.domain, "step", None) or 0
    step = domain.step or 0
    if grid and not (isinstance(domain, Int) and grid == 1) and (domain.log or not step or _off_grid(step, grid)):
        raise InputError(
            f"`step` must be a multiple of {grid:g} for `{variable.name}`, but got {step:g}",
            where=document.where(*path),
            hint=f"{variable.name}: {variable.domain.describe()}",
        )
    return domain


def _off_grid(step: float, grid: float) -> bool:
    return abs(step / grid - round(step / grid)) > 1e-8


def read_constraints(document: Document) -> list[tuple[Expression, str]]:
    """The constraints of a document, a search space's or a profile's, each with its place.

    Raises:
        InputError: it is not a list of expressions.
    """
    texts = document.data.get(CONSTRAINTS) or []
    if not isinstance(texts, list):
        raise InputError(
            f"`{CONSTRAINTS}` must be a list of expressions, but got {shown(texts)}", where=document.where(CONSTRAINTS)
        )
    places = [document.where(CONSTRAINTS, str(number)) for number in range(len(texts))]
    return [(_parse(text, place), place) for text, place in zip(texts, places, strict=True)]


def _parse(text: object, where: str) -> Expression:
    if not isinstance(text, str):
        raise InputError(f"an expression must be a string, but got {shown(text)}", where=where, hint="put it in quotes")
    try:
        return Expression.parse(text)
    except InputError as error:
        raise InputError(error.message, where=where, hint=error.hint) from None


def _check_names(expression: Expression, variables: Variables, where: str) -> Expression:
    """Reject an expression that reads an unknown variable, or compares one with a string that it can never be."""
    for name in sorted(expression.names):
        find_variable(name, variables, where)
    for name, literal in expression.compared_texts():
        check_value(find_variable(name, variables), literal, where)
    return expression


def _check(space: Space, places: Mapping[str, str], otherwise: str) -> None:
    """Reject circular conditions and unsatisfiable constraints, at the place of the expression in the error."""
    try:
        _ = space.order
        check_feasible(space)
    except InputError as error:
        raise InputError(error.message, where=places.get(error.where, otherwise), hint=error.hint) from None
