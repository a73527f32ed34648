"""Profiles as documents: read from YAML and checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tune_app.document import Document, shown
from tune_app.errors import InputError, nearest
from tune_app.profiles.profile import SCHEMA_VERSION, Profile
from tune_app.spaces.catalog import Catalog, check_group, check_value, find_variable
from tune_app.spaces.parameters import read_constraints
from tune_app.spaces.script import SCRIPT
from tune_app.spaces.variable import Config, flatten_config

KEYS = (
    *("schema_version", "name", "revision", "task", "dataset", "note"),
    *("config", "constraints", "provenance", "catalog"),
)


def _is_mapping(document: Document, key: str) -> bool:
    return isinstance(document.data.get(key), dict)


def read_document(document: Document, find_catalog: Callable[[str], Catalog]) -> Profile:
    """Read a profile and check it against the catalog of its task.

    Args:
        find_catalog: the catalog of a task by its name, such as `Profiles.catalog`.

    Raises:
        InputError: it is not a profile of a known version, or a value is invalid.
    """
    for key in document.data:
        if key not in KEYS:
            raise InputError(
                f"a key must be one of those below, but got `{key}`", where=document.where(key), hint=nearest(key, KEYS)
            )
    version = document.data.get("schema_version")
    if version is True or version != SCHEMA_VERSION:
        raise InputError(
            f"`schema_version` must be {SCHEMA_VERSION}, but got {shown(version)}",
            where=document.where("schema_version"),
            hint="update tune-app" if isinstance(version, int) and version > SCHEMA_VERSION else "",
        )
    catalog = _read_catalog(document, find_catalog)
    profile = Profile(
        name=_text(document, "name"),
        catalog=catalog,
        dataset=document.mapping("dataset") if _is_mapping(document, "dataset") else _text(document, "dataset"),
        config=_read_config(document, catalog),
        constraints=tuple(expression.text for expression, _ in read_constraints(document)),
        provenance=_read_provenance(document),
        note=_text(document, "note") if document.data.get("note") else "",
        revision=read_revision(document),
    )
    try:
        return profile.validated(where=document.source)
    except InputError as error:
        raise InputError(error.message, where=_within(document.source, error.where), hint=error.hint) from None


def _read_catalog(document: Document, find_catalog: Callable[[str], Catalog]) -> Catalog:
    """The catalog of the task; the profile of a function or a script includes it, because they have none."""
    task = _text(document, "task")
    if "catalog" in document.data:
        catalog = Catalog.from_dict({**document.mapping("catalog"), "task": task}, document.where("catalog"))
        if catalog.open and (catalog.script is not None or task != SCRIPT):
            return catalog
    try:
        catalog = find_catalog(task)
    except InputError as error:
        raise InputError(error.message, where=document.where("task"), hint=error.hint) from error
    if catalog.open:
        kind, what = ("script", "`catalog` with its command") if task == SCRIPT else ("function", "`catalog`")
        rule = f"the profile of a {kind} must have its {what}, but the one of `{task}` has none"
        hint = "save it from a trial: tune-app profile save NAME --trial STUDY:N"
        raise InputError(rule, where=document.source, hint=hint)
    return catalog


def _within(source: str, where: str) -> str:
    """`where` prefixed with the file; a failing expression only gives its own text."""
    return where if where.startswith(source) else f"{source} {where}".strip()


def _text(document: Document, key: str) -> str:
    value = document.data.get(key)
    if not isinstance(value, str) or not value:
        raise InputError(f"`{key}` must be a string, but got {shown(value)}", where=document.where(key))
    return value


def _read_config(document: Document, catalog: Catalog) -> Config:
    """The full configuration; a missing variable takes the task's default, as in a search space.

    So a profile stays valid when its task gets a new variable, whose default keeps the old behavior.
    """
    variables = catalog.variables
    for group in document.mapping("config"):
        check_group(group, document.where("config", group))
        for name, value in document.mapping("config", group).items():
            where = document.where("config", group, name)
            check_value(find_variable(f"{group}.{name}", variables, where), value, where)
    named = flatten_config({group: document.mapping("config", group) for group in document.mapping("config")})
    return {**{variable.name: variable.default for variable in variables}, **named}


def _read_provenance(document: Document) -> dict[str, Any]:
    """Check the fields that are used later; keep the rest unchanged."""
    found = document.mapping("provenance")
    for variable in document.mapping("provenance", "edited"):
        document.mapping("provenance", "edited", variable)
    for key in ("seed", "epochs"):
        value = found.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise InputError(
                f"`{key}` must be a whole number from 0, but got {shown(value)}",
                where=document.where("provenance", key),
            )
    return found


def read_revision(document: Document) -> int:
    value = document.data.get("revision", 1)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InputError(
            f"`revision` must be a whole number from 0, but got {shown(value)}", where=document.where("revision")
        )
    return value
